"""Estimators that keep scikit-learn's conventions, trained by this library's plans."""
