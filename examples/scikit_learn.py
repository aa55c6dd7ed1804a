"""Handwritten digits with scikit-learn's tools: a pipeline, a search, and an autoencoder as a transformer."""

from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import gearshift as gs

x, y = load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=0)

pipe = make_pipeline(StandardScaler(), gs.MLPClassifier(early_stopping=True, random_state=0))
search = GridSearchCV(pipe, {"mlpclassifier__dropout": [0.0, 0.2], "mlpclassifier__alpha": [1e-4, 1e-1]}, cv=3)
search.fit(x_train, y_train)
print("best parameters:", search.best_params_)
print(f"test accuracy: {search.score(x_test, y_test):.4f}")

codes = make_pipeline(StandardScaler(), gs.Autoencoder(8, tol=1e-3, random_state=0), gs.LogisticRegression())
print(f"test accuracy from 8 numbers an image: {codes.fit(x_train, y_train).score(x_test, y_test):.4f}")
