"""Run in a fresh process: runs exported graphs with nothing but their runtime and numpy.

``python alone.py EXPORTER FOLDER``: FOLDER holds a folder a case: the export, and for each graph
``GRAPH.npz`` with its inputs and the outputs that torch gave. Prints a line of JSON for each graph.
"""

import json
import sys
from pathlib import Path

import numpy as np


def onnx(file: Path, inputs: dict, names: list[str]) -> list[np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(file)
    assert [port.name for port in session.get_outputs()] == names
    return session.run(names, inputs)


def openvino(file: Path, inputs: dict, names: list[str]) -> list[np.ndarray]:
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    made = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    read = {name for port in made.inputs for name in port.get_names()}
    found = made.create_infer_request().infer({k: v for k, v in inputs.items() if k in read})
    return [found[name] for name in names]


def pt2(file: Path, inputs: dict, names: list[str]) -> list[np.ndarray]:
    import torch

    module = torch.export.load(file).module(check_guards=False)
    given = {name.replace(".", "_"): torch.from_numpy(own) for name, own in inputs.items()}
    with torch.no_grad():
        found = module(**given)
    return [found[name].numpy() for name in names]


def main(to: str, folder: str) -> None:
    sys.modules["prunus"] = None  # type: ignore[assignment]
    for case in sorted(path for path in Path(folder).iterdir() if path.is_dir()):
        facts = json.loads((case / "export" / "export.json").read_text())
        for name, stored in facts["graphs"].items():
            held = np.load(case / f"{name}.npz")
            given = {port: held[f"in:{port}"] for port in stored["inputs"]}
            outputs = list(stored["outputs"])
            found = globals()[to](case / "export" / stored["file"], given, outputs)
            far = max(
                np.abs(own - held[f"out:{port}"]).max() / np.abs(held[f"out:{port}"]).max()
                for port, own in zip(outputs, found, strict=True)
                if own.size
            )
            print(json.dumps({"case": case.name, "graph": name, "far": float(far)}))
    loaded = {"transformers", "torch"} & {*sys.modules} - ({"torch"} if to == "pt2" else set())
    print(json.dumps({"loaded": sorted(loaded)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
