"""Files of Keras that are damaged, of another kind, or made to harm: each with a part of the refusal."""

from __future__ import annotations

import pickle
import zipfile

import numpy as np
import torch

from keras_file_makers import (
    DENSE,
    Make,
    Runs,
    added,
    changed,
    configured,
    contains,
    cycle,
    encrypted,
    exchange,
    folder,
    hdf5,
    legacy,
    linked,
    nothing,
    npz,
    replaced,
    third_layer,
    top_level,
    virtual,
    weighted,
    zipped,
)

LAMBDA = {"class_name": "Lambda", "config": {"function": {"class_name": "__lambda__", "config": {"code": "4wEAAAA="}}}}

CASES: dict[str, tuple[str, Make]] = {
    # other kinds of files
    "nothing": ("it is empty", contains(b"")),
    "zeros": ("filled with zeros", contains(bytes(5000))),
    "a git-lfs pointer": ("a git-lfs pointer", contains(b"version https://git-lfs.github.com/spec/v1\noid sha256:00")),
    "a web page": ("a web page", contains(b"<!DOCTYPE html><html>")),
    "JSON": ("give a net's config to rt.keras.from_config", contains(b'{"class_name": "Sequential"}')),
    "gzip": ("an archive; unpack it", contains(b"\x1f\x8b\x08\0")),
    "a pickle": ("a pickle, which can run any code", lambda path: path.write_bytes(pickle.dumps(Runs()))),
    "a file of torch.save": (r"torch.load\(path, weights_only=True\)", lambda path: torch.save({}, path)),
    "a NumPy archive": (r"give numpy.load\(path\)", npz),
    "another zip": ("a zip without config.json", lambda path: zipfile.ZipFile(path, "w").writestr("a", "b")),
    "ONNX": ("an ONNX file", lambda path: path.with_name("model.onnx").write_bytes(b"\x08\x08")),
    "TensorFlow Lite": ("a TensorFlow Lite file", contains(b"\x1c\0\0\0TFL3")),
    "a SavedModel": (
        r"a TensorFlow SavedModel, .* model.save\(\"model.keras\"\)",
        folder("saved_model.pb", "variables"),
    ),
    "a checkpoint's folder": ("a TensorFlow checkpoint", folder("checkpoint")),
    "a checkpoint": ("a TensorFlow checkpoint", lambda path: path.with_name("model.keras.index").write_bytes(b"x")),
    "an unpacked file": ("an unpacked .keras file", folder("config.json", "model.weights.h5")),
    "a folder": ("is a folder", folder()),
    "noise": ("neither a zip nor an HDF5 file", contains(np.random.default_rng(0).bytes(4000))),
    # damage
    "cut in the middle": ("cut off or damaged", changed(lambda content: content[: len(content) // 2])),
    "cut at the end": ("cut off or damaged", changed(lambda content: content[:-30])),
    "a flipped byte": ("cut off or damaged", changed(lambda content: content.replace(b"_name", b"_nome", 1))),
    "weights cut off": (
        "its HDF5 data is cut off or damaged",
        zipped(nothing, model=b"\x89HDF\r\n\x1a\n" + bytes(9)),
    ),
    "weights of another kind": ("its HDF5 data is cut off or damaged", zipped(nothing, model=b"x" * 900)),
    "no weights": ("without model.weights.h5", zipped(nothing, model=None)),
    "no config": ("without config.json", zipped(nothing, config=None)),
    "config no JSON": ("is not JSON", zipped(nothing, config=b"{")),
    "config a list": ("must be a JSON object", zipped(nothing, config=b"[1]")),
    "config endless": ("expected at most 16,777,216", zipped(nothing, config=b" " * (2**24 + 1))),
    "compile_config a number": ("compile_config in it must be", zipped(nothing, config=b'{"compile_config": 3}')),
    # zips made to harm
    "encrypted": ("is encrypted; decrypt the file", encrypted),
    "a path that leads out": ("lies outside the file's folder", added("../evil")),
    "an absolute path": ("lies outside the file's folder", added("/etc/evil")),
    "a path of Windows": ("lies outside the file's folder", added("C:\\evil")),
    "a member twice": ("two members named 'config.json'", added("config.json")),
    "a bomb": ("over 200 times as much", added("assets/x", bytes(300 * 2**20), compress_type=zipfile.ZIP_DEFLATED)),
    "an endless list of members": (
        "its list of members has",
        changed(lambda content: content[:-10] + b"\xff\xff\xff\x7f" + content[-6:]),
    ),
    # code, and what is newer
    "a Lambda's code": ("a Lambda's code is marshalled Python, which is never run", configured(**LAMBDA)),
    "an unknown setting": ("sparkle=3 is not supported", configured(config={"sparkle": 3})),
    "a newer Keras": (
        "sparkle=3 is not supported; the file is of Keras 4.1.0, newer than",
        configured(config={"sparkle": 3}, version="4.1.0"),
    ),
    # HDF5 made to harm
    "an external link": (
        "'layers/dense/vars/0' is a link to another file",
        linked(lambda h5py: h5py.ExternalLink("/etc/passwd", "/x")),
    ),
    "a soft link": ("'layers/dense/vars/0' is a link,", linked(lambda h5py: h5py.SoftLink(f"/{DENSE}/1"))),
    "a virtual array": ("lies in other files", weighted(virtual)),
    "an external array": (
        "lies in other files",
        replaced(f"{DENSE}/0", shape=(3, 4), dtype="f4", external=[("/etc/passwd", 0, 48)]),
    ),
    "a circle": ("is a second name of another group", weighted(cycle)),
    "a huge shape": ("states 4,000,000,000,000 bytes", replaced(f"{DENSE}/0", shape=(10**6, 10**6), dtype="f4")),
    "a shape that overflows": (
        "and 0 are stored",
        replaced(f"{DENSE}/0", shape=(2**40, 2**40), dtype="f4", chunks=(2, 2)),
    ),
    "compressed": (
        "is compressed, which Keras's are not",
        replaced(f"{DENSE}/0", data=np.zeros((3, 4), "f4"), compression="gzip"),
    ),
    "objects": ("is of object, expected numbers", replaced(f"{DENSE}/0", np.array([b"a", b"b"], "O"))),
    "texts": ("expected numbers", replaced(f"{DENSE}/0", np.array([b"abc"]))),
    "fields": ("expected numbers", replaced(f"{DENSE}/0", np.zeros(3, [("a", "f4")]))),
    "complex numbers": ("expected numbers", replaced(f"{DENSE}/0", np.zeros((3, 4), "c8"))),
    # other nets' weights
    "another shape": (
        r"another net's: first \(Dense\) expects a kernel of shape \(3, 4\), received \(3, 5\) in 'layers/dense/var",
        replaced(f"{DENSE}/0", np.zeros((3, 5), "f4")),
    ),
    "a weight too few": ("another net's: it lacks layers/dense/vars/1", replaced(f"{DENSE}/1")),
    "a weight too many": (
        "another net's: it has besides layers/conv2d/vars/0",
        weighted(lambda file: file.create_dataset("layers/conv2d/vars/0", data=np.zeros(3))),
    ),
    "weights no layers own": ("it has no layers of Keras", weighted(lambda file: file.move("layers", "other"))),
    "not a number": (
        "the kernel of first .* 12 non-finite numbers: nan",
        replaced(f"{DENSE}/0", np.full((3, 4), np.nan, "f4")),
    ),
    # model.h5
    "h5: no config": (
        "it has weights and no config",
        lambda path: hdf5(path, lambda f: f.create_group("layers")),
    ),
    "h5: config no JSON": ("is not JSON", legacy(model_config="{")),
    "h5: config a number": ("model_config must be text", legacy(model_config=3)),
    "h5: a layer too many": (
        "the net has 2 layers with weights, the file 3",
        legacy(lambda file: third_layer(file)),
    ),
    "h5: an array that is missing": (
        "it lists an array",
        legacy(lambda f: f["model_weights/first/first"].clear()),
    ),
    "h5: another shape": (
        r"second \(Dense\) expects a bias of shape \(2,\), received \(3,\)",
        legacy(lambda file: exchange(file, "model_weights/second/second/bias:0", np.zeros(3))),
    ),
    "h5: an array too few": (
        "the layer 'first' .* takes 2 arrays, and 'first' in the file has 1",
        legacy(lambda file: file["model_weights/first"].attrs.create("weight_names", [b"first/kernel:0"])),
    ),
    "h5: names that are numbers": (
        "must be a list of names",
        legacy(lambda file: file["model_weights"].attrs.create("layer_names", [1, 2])),
    ),
    "h5: weights of the net itself": ("weights of its own, outside its layers", legacy(lambda file: top_level(file))),
}
"""What was tried: a part of the refusal, and a function that writes the file."""
