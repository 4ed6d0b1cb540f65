"""One module per trigger family: decode the event, call `shared`, encode the answer.

The domain's modules are imported where a function runs, not at the top: every cold start pays for what the app imports
when it is indexed, and one function needs few of them.
"""
