"""What came of a batch: its results, sealed; the files and the summary that are written of them; questions about them.

`sealed` keeps a batch's results, `collecting` and `summary` make files of them and bring it to its end; `listing` goes
through the results of many batches, for `pages` of rows and for `images`.
"""

from shared.results.collecting import Collected, announce_files, collect, write_files
from shared.results.sealed import Result, SealedResults, read_shard, sealed_results

__all__ = [
    "Collected",
    "Result",
    "SealedResults",
    "announce_files",
    "collect",
    "read_shard",
    "sealed_results",
    "write_files",
]
