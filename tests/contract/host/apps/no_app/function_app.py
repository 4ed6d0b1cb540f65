"""An app folder whose module defines no FunctionApp."""
