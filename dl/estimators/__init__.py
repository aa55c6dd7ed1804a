"""Estimators that follow scikit-learn's conventions, trained by this library's plans."""
