"""python -m tests.onnx_pipelines [words ...]: scikit-learn, written by skl2onnx, beside ONNX Runtime.

Needs scikit-learn, skl2onnx and onnxruntime. Labels must be equal, numbers within 1e-4 of the largest; a row says what
an engine refuses and why.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from deploy import Instant, interpreter
from deploy import onnx as exchange
from deploy.compare import relative_error
from needle.errors import NeedleError

ALLOWED, SAMPLES, FEATURES = 1e-4, 200, 6


def linear() -> dict[str, Any]:
    """Linear models, behind what prepares their features."""
    from sklearn import decomposition, discriminant_analysis, feature_selection, impute, multiclass, preprocessing
    from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
    from sklearn.pipeline import make_pipeline as chain

    return {
        "logistic": chain(preprocessing.StandardScaler(), LogisticRegression()),
        "ridge": chain(preprocessing.MinMaxScaler(), RidgeClassifier()),
        "pca": chain(decomposition.PCA(3), LogisticRegression()),
        "polynomial": chain(preprocessing.PolynomialFeatures(2), LogisticRegression()),
        "imputed": chain(impute.SimpleImputer(), preprocessing.RobustScaler(), preprocessing.Normalizer(),
                         LogisticRegression()),
        "selected": chain(feature_selection.SelectKBest(k=3), LogisticRegression()),
        "bins": chain(preprocessing.KBinsDiscretizer(4, encode="onehot-dense"), LogisticRegression()),
        "one-vs-rest": multiclass.OneVsRestClassifier(LogisticRegression()), "sgd": SGDClassifier(loss="log_loss"),
        "discriminant": discriminant_analysis.LinearDiscriminantAnalysis(),
    }  # fmt: skip


def others() -> dict[str, Any]:
    """Support vectors, trees, networks, neighbours, Bayes."""
    from sklearn import calibration, cluster, ensemble, naive_bayes, neighbors, neural_network, preprocessing, svm, tree
    from sklearn.pipeline import make_pipeline as chain

    scaled = preprocessing.StandardScaler
    return {
        "svc": chain(scaled(), svm.SVC()), "svc-poly": svm.SVC(kernel="poly"), "svc-linear": svm.LinearSVC(),
        "svc-probability": svm.SVC(probability=True), "nu-svc": svm.NuSVC(kernel="sigmoid"),
        "calibrated": calibration.CalibratedClassifierCV(svm.LinearSVC()), "tree": tree.DecisionTreeClassifier(),
        "forest": ensemble.RandomForestClassifier(10), "extra-trees": ensemble.ExtraTreesClassifier(10),
        "boosting": ensemble.GradientBoostingClassifier(n_estimators=10),
        "adaboost": ensemble.AdaBoostClassifier(n_estimators=5), "isolation": ensemble.IsolationForest(n_estimators=5),
        "bagging": ensemble.BaggingClassifier(n_estimators=3), "bayes": naive_bayes.GaussianNB(),
        "bernoulli": naive_bayes.BernoulliNB(), "neighbors": neighbors.KNeighborsClassifier(3),
        "mlp": chain(scaled(), neural_network.MLPClassifier((8,), max_iter=50)), "kmeans": cluster.KMeans(3),
    }  # fmt: skip


def regressors() -> dict[str, Any]:
    from sklearn import ensemble, gaussian_process, linear_model, neighbors, svm

    return {
        "linear": linear_model.LinearRegression(), "lasso": linear_model.Lasso(0.01),
        "bayesian": linear_model.BayesianRidge(), "huber": linear_model.HuberRegressor(), "svr": svm.SVR(),
        "one-class": svm.OneClassSVM(), "forest-regression": ensemble.RandomForestRegressor(5),
        "boosting-regression": ensemble.GradientBoostingRegressor(n_estimators=5),
        "neighbors-regression": neighbors.KNeighborsRegressor(3),
        "gaussian-process": gaussian_process.GaussianProcessRegressor(),
    }  # fmt: skip


def compare(data: bytes, x: np.ndarray) -> list[str]:
    """What came of it in each engine."""
    import onnxruntime

    expected = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"X": x})
    try:
        graph = exchange.loads(data)
    except NeedleError as error:
        return [f"REFUSED: {error}"]
    runs: dict[str, Callable[[], Any]] = {
        "interpreted": lambda: interpreter.run(graph, {"X": x}), "instant": lambda: Instant(graph).run(X=x),
    }  # fmt: skip
    return [f"{engine} {_outcome(run, expected)}" for engine, run in runs.items()]


def _outcome(run: Callable[[], Any], expected: list[Any]) -> str:
    try:
        found = [np.asarray(y) for y in run().values()]
    except NeedleError as error:
        return f"refused: {str(error)[:120]}"
    worst = 0.0
    for a, b in zip(found, expected, strict=True):
        b = np.array([[row[key] for key in sorted(row)] for row in b], "float32") if isinstance(b, list) else b
        if a.shape != b.shape or (b.dtype.kind in "iUO" and (a != b).any()):
            return "DIFFERENT"
        worst = worst if b.dtype.kind in "iUO" else max(worst, relative_error(a, b))
    return f"{worst:.1e}{'' if worst <= ALLOWED else ' DIFFERENT'}"


def main() -> int:
    from skl2onnx import to_onnx
    from sklearn.datasets import make_classification

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("words", nargs="*", help="rows whose names hold one of these (default: all)")
    words = parser.parse_args().words
    warnings.simplefilter("ignore")
    x, three = make_classification(SAMPLES, FEATURES, n_informative=4, n_classes=3, random_state=0)
    x = x.astype("float32")
    targets = {"three classes": three, "two classes": (three > 0).astype(int)}
    models = linear() | others()
    rows = [(f"{name}, {what}", model, y) for name, model in models.items() for what, y in targets.items()]
    rows += [(name, model, 2 * x[:, 0] + x[:, 1] ** 2) for name, model in regressors().items()]
    failed = 0
    for name, model, y in rows:
        if words and not any(word in name for word in words):
            continue
        model.fit(x, y)
        found = compare(to_onnx(model, x[:1], target_opset={"": 17, "ai.onnx.ml": 3}).SerializeToString(), x[:20])
        failed += any("DIFFERENT" in row or row.startswith("REFUSED") for row in found)
        print(f"{name:<32} {'; '.join(found)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
