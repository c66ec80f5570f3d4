import json
from dataclasses import replace

import numpy as np
import onnx
import openvino
import pytest
from onnx import numpy_helper

from hatcnn.errors import ConfigError, ExportError
from hatcnn.export import export_model, exporting
from hatcnn.export.agreement import LIMITS, Agreement, compare
from hatcnn.export.graphs import FEWEST, share
from hatcnn.inference.backends import load_backend
from hatcnn.models.folder import fingerprint
from tests.inference.models import export_fixed, fixed_graph, pixels, save_fixed
from tests.models.test_network import NARROW
from tests.pictures import encoded


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_fixed(tmp_path_factory.mktemp("fixed") / "model")


def cosine(a, b):
    return ((a * b).sum(axis=1) / 2).min()


@pytest.mark.parametrize(
    ("to", "precision"),
    [
        ("onnx", "fp32"),
        ("onnx", "fp16"),
        ("onnx", "int8"),
        ("openvino", "fp32"),
        ("openvino", "fp16"),
        ("openvino", "bf16"),
        ("openvino", "int8"),
    ],
)
def test_every_precision_runs_any_number_of_pictures_near_torch(
    model, tmp_path, monkeypatch, to, precision
):
    if precision == "int8":
        # The fixed network's attribute logits are four times a trained one's, their errors too.
        monkeypatch.setitem(LIMITS, "int8", replace(LIMITS["int8"], attribute=0.6))
        if to == "openvino":
            pytest.importorskip("nncf")
    pictures = list(pixels(40))
    exported = export_fixed(model, to=to, precision=precision, out=tmp_path, calibrate=pictures)
    assert exported.agreement.pictures == (10 if precision == "int8" else 40)
    assert exported.agreement.source == "given pictures"
    backend = load_backend(tmp_path, backend=to)
    torch = load_backend(model, backend="torch", precision="fp32")
    for count in (1, 7, 32):
        images = pixels(50)[-count:]
        vectors, logits = backend(images)
        assert vectors.shape == (count, 48)
        assert logits.shape == (count, 26)
        assert cosine(vectors, torch(images)[0]) > LIMITS[precision].cosine
    assert backend.fingerprint == fingerprint(model, NARROW)


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_half_precision_stores_half(model, tmp_path, to):
    whole, half = (
        export_fixed(model, to=to, precision=precision, out=tmp_path / precision).megabytes
        for precision in ("fp32", "fp16")
    )
    weights = (model / "model.safetensors").stat().st_size / 1e6
    # Biases and small weights stay as they are, and each cast costs some bytes.
    assert 0.15 * weights < whole - half < 0.5 * weights


def test_both_the_file_and_the_json_beside_it_say_what_they_are(model, tmp_path):
    (model / "README.md").write_text("For research only.")
    for to in ("onnx", "openvino"):
        export_fixed(model, to=to, precision="fp16", out=tmp_path)
    assert (tmp_path / "README.md").read_text() == "For research only."
    inside = {p.key: p.value for p in onnx.load(tmp_path / "model.onnx").metadata_props}
    ir = openvino.Core().read_model(tmp_path / "model.xml")
    for to in ("onnx", "openvino"):
        beside = json.loads((tmp_path / f"{to}.json").read_text())
        assert beside["precision"] == "fp16"
        assert beside["agreement"]["source"] == "synthetic people"
        for name in ("fingerprint", "precision", "preprocessing"):
            assert inside[name] == beside[name]
            assert ir.get_rt_info(["hatcnn", name]).value == beside[name]
        assert json.loads(inside["config"]) == beside["config"]
    assert "do not scale or normalise" in inside["preprocessing"]
    (images,) = onnx.load(tmp_path / "model.onnx").graph.input
    assert images.type.tensor_type.elem_type == onnx.TensorProto.UINT8


def test_files_say_nothing_of_the_machine_that_made_them():
    assert str(exporting.__file__).split("/src/")[0].encode() not in fixed_graph()
    assert b"site-packages" not in fixed_graph()


def test_beside_its_weights_a_graph_does_not_store_them_again(tmp_path):
    model = save_fixed(tmp_path / "model", half=True)
    assert export_model(model, to="onnx").agreement.cosine_min > 0.99999
    stored = onnx.load(model / "model.onnx", load_external_data=False).graph.initializer
    outside = [t for t in stored if t.data_location == onnx.TensorProto.EXTERNAL]
    assert len(outside) > 40
    assert {t.external_data[0].value for t in outside} == {"model.safetensors"}
    inside = sum(len(t.raw_data) for t in stored)
    assert inside < 0.25 * (model / "model.safetensors").stat().st_size


def test_a_weight_that_is_no_multiple_of_the_stored_one_stays_in_the_graph(model):
    graph = onnx.ModelProto.FromString(fixed_graph())
    changed, untouched = [t for t in graph.graph.initializer if np.prod(t.dims) >= FEWEST][:2]
    name, other = changed.name, untouched.name
    values = numpy_helper.to_array(changed).copy()
    values.flat[3] += 0.01
    changed.CopyFrom(numpy_helper.from_array(values, name))
    share(graph, model / "model.safetensors")
    kept = {t.name: t for t in graph.graph.initializer}
    np.testing.assert_array_equal(numpy_helper.to_array(kept[name]), values)
    assert f"{other}.stored" in kept
    assert other not in kept


def negate(graph):
    """The sign of one convolution's weights."""
    weight = next(t for t in graph.graph.initializer if "levels.1.body.0" in t.name)
    weight.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(weight), weight.name))


def swap_colours(graph):
    """Blue for red, as pictures in another order would be."""
    (weight,) = (
        t for t in graph.graph.initializer if t.name == "network.identity.stem.conv.weight"
    )
    values = numpy_helper.to_array(weight)[:, ::-1].copy()
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))


def dull_attributes(graph):
    """Only the attributes are wrong."""
    weight = next(
        t for t in graph.graph.initializer if t.name == "network.attributes.classifier.bias"
    )
    weight.CopyFrom(numpy_helper.from_array(0.9 * numpy_helper.to_array(weight) + 0.2, weight.name))


def fixed_batch(graph):
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2


TAMPERED = [
    *(
        (to, change)
        for to in ("onnx", "openvino")
        for change in (negate, swap_colours, dull_attributes)
    ),
    # OpenVINO is told the number of pictures anew, whatever the graph says.
    ("onnx", fixed_batch),
]


@pytest.mark.parametrize(("to", "change"), TAMPERED)
def test_a_graph_that_disagrees_is_refused_and_nothing_written(model, tmp_path, to, change):
    (tmp_path / "model.onnx").write_bytes(b"an earlier export")
    with pytest.raises(ExportError, match=r"disagrees with torch|cannot be run"):
        export_fixed(model, change, to=to, out=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    assert (tmp_path / "model.onnx").read_bytes() == b"an earlier export"


def test_nan_does_not_agree():
    measured = Agreement(
        pictures=1, source="here", cosine_min=1, cosine_mean=1, attribute_max=0, attribute_mean=0
    )
    measured.check("fp32")
    for field in ("cosine_min", "attribute_max"):
        with pytest.raises(ExportError, match="nan"):
            replace(measured, **{field: float("nan")}).check("int8")


def test_agreement_measures_cosines_and_probabilities(model):
    """Of a back end that turns each half of its vectors by 60 degrees, and doubts everything."""

    class Turned:
        config, fingerprint = NARROW, ""

        def __call__(self, images):
            vectors, logits = torch(images)
            halves = vectors.reshape(len(vectors), 2, -1)
            random = np.random.default_rng(0).normal(size=halves.shape)
            across = random - (random * halves).sum(axis=2, keepdims=True) * halves
            across /= np.linalg.norm(across, axis=2, keepdims=True)
            turned = 0.5 * halves + np.sqrt(0.75) * across
            return turned.reshape(vectors.shape).astype(np.float32), 0 * logits

    torch = load_backend(model, backend="torch", precision="fp32")
    images = pixels(3)
    measured = compare(Turned(), torch, images, "waves")
    probabilities = 1 / (1 + np.exp(-torch(images)[1].astype(np.float64)))
    assert measured.cosine_min == pytest.approx(0.5, abs=1e-5)
    assert measured.attribute_max == pytest.approx(np.abs(probabilities - 0.5).max(), abs=1e-6)
    assert measured.attribute_mean == pytest.approx(np.abs(probabilities - 0.5).mean(), abs=1e-6)


def test_without_attributes_the_graph_computes_none(model, tmp_path):
    exported = export_model(model, to="onnx", out=tmp_path, attributes=False)
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert [o.name for o in graph.output] == ["vectors"]
    assert not any("attributes" in t.name for t in graph.initializer)
    assert exported.agreement.attribute_max is None
    assert load_backend(tmp_path, backend="onnx")(pixels(2))[1] is None


def test_unreadable_pictures_are_named_and_too_few_refused(model, tmp_path):
    pictures = [encoded(p) for p in pixels(20)]
    pictures[3] = b"no picture"
    exported = export_fixed(model, to="onnx", precision="int8", out=tmp_path, calibrate=pictures)
    assert [name for name, _ in exported.skipped] == ["picture 3"]
    with pytest.raises(ConfigError, match="15 readable pictures are too few"):
        export_fixed(model, to="onnx", precision="int8", out=tmp_path, calibrate=pictures[:16])
    with pytest.raises(ConfigError, match="none of 1 pictures can be read"):
        export_fixed(model, to="onnx", out=tmp_path, calibrate=[b"no picture"])


def test_what_is_not_offered_is_refused_before_any_work(model, tmp_path, monkeypatch):
    def refuse(**options):
        with pytest.raises(ConfigError) as refusal:
            export_fixed(model, out=tmp_path / "out", **options)
        assert not (tmp_path / "out").exists()
        return str(refusal.value)

    assert "use --to openvino" in refuse(to="onnx", precision="bf16")
    assert "pass --calibrate" in refuse(to="onnx", precision="int8")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert 'pip install "hatcnn[openvino]"' in refuse(to="openvino")
