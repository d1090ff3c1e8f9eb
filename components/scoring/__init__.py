"""Scores of detections and proposals: average precision and recall."""
