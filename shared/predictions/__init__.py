"""The files of predictions: one row an image, as CSV, JSON Lines or Parquet, with the same columns in the same order.

    image, labels, prob_<label> for every label of the model, model, scored_at, error

Writers take rows and give the file piece by piece, so that a file of any length takes the memory of a few thousand
rows. The same rows give the same bytes.
"""

from shared.predictions.csv_format import csv_chunks, read_csv, split_labels
from shared.predictions.formats import FORMATS, Format
from shared.predictions.rows import PredictionRow, columns

__all__ = ["FORMATS", "Format", "PredictionRow", "columns", "csv_chunks", "read_csv", "split_labels"]
