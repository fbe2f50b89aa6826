from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from onnx import AttributeProto, SparseTensorProto, TensorProto, helper, numpy_helper

from kalamos.errors import ModelFileError
from kalamos.model_file import METADATA_KEY, ModelSpec
from kalamos.model_file.protobuf import MAX_PROTOBUF_FIELDS, check_tensors, keep_metadata, read_metadata
from kalamos.zoo import model_path

MakeModel = Callable[..., onnx.ModelProto]

FLOAT_TYPES = [TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE]
NOT_FINITE = [float("nan"), float("inf"), float("-inf")]
LARGEST: dict[int, float] = {
    TensorProto.FLOAT16: 65504.0,
    TensorProto.BFLOAT16: 3.3895314e38,
    TensorProto.FLOAT: 3.4028234e38,
    TensorProto.DOUBLE: 1.7976931348623157e308,
}


def tensor(*values: float, data_type: int = TensorProto.FLOAT, raw: bool = False) -> TensorProto:
    if not raw:
        made: TensorProto = helper.make_tensor("w", data_type, [len(values)], values)
        return made
    dtype = helper.tensor_dtype_to_np_dtype(data_type)
    content = np.array(values).astype(dtype).tobytes()
    return TensorProto(name="w", data_type=data_type, dims=[len(values)], raw_data=content)


def external() -> TensorProto:
    made = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
    made.data_location = TensorProto.EXTERNAL
    made.external_data.add(key="location", value="secret.bin")
    return made


def sparse(values: TensorProto) -> SparseTensorProto:
    made: SparseTensorProto = helper.make_sparse_tensor(
        values, helper.make_tensor("i", TensorProto.INT64, [1], [0]), [4]
    )
    return made


def constant(value: TensorProto) -> onnx.NodeProto:
    node: onnx.NodeProto = helper.make_node("Constant", [], ["c"], value=value)
    return node


def graph_of(value: TensorProto) -> onnx.GraphProto:
    output = helper.make_tensor_value_info("c", TensorProto.FLOAT, [1])
    graph: onnx.GraphProto = helper.make_graph([constant(value)], "branch", [], [output])
    return graph


def attribute(**content: Any) -> AttributeProto:
    return AttributeProto(name="a", **content)


def node_with(made: AttributeProto) -> onnx.NodeProto:
    node: onnx.NodeProto = helper.make_node("Any", [], ["c"])
    node.attribute.append(made)
    return node


def in_initializer(model: onnx.ModelProto, value: TensorProto) -> None:
    model.graph.initializer.append(value)


def in_sparse_initializer(model: onnx.ModelProto, value: TensorProto) -> None:
    model.graph.sparse_initializer.append(sparse(value))


def in_constant(model: onnx.ModelProto, value: TensorProto) -> None:
    model.graph.node.append(constant(value))


def in_tensor_list(model: onnx.ModelProto, value: TensorProto) -> None:
    model.graph.node.append(node_with(attribute(tensors=[value])))


def in_sparse_attribute(model: onnx.ModelProto, value: TensorProto) -> None:
    model.graph.node.append(node_with(attribute(sparse_tensor=sparse(value))))


def in_sparse_list(model: onnx.ModelProto, value: TensorProto) -> None:
    model.graph.node.append(node_with(attribute(sparse_tensors=[sparse(value)])))


def in_branch(model: onnx.ModelProto, value: TensorProto) -> None:
    node = helper.make_node("If", ["x"], ["y"], then_branch=graph_of(value), else_branch=graph_of(tensor(1)))
    model.graph.node.append(node)


def in_nested_branches(model: onnx.ModelProto, value: TensorProto) -> None:
    inner = graph_of(value)
    for _ in range(20):
        node = node_with(attribute(graphs=[inner]))
        inner = helper.make_graph([node], "outer", [], [])
    model.graph.node.append(node_with(attribute(g=inner)))


def in_function(model: onnx.ModelProto, value: TensorProto) -> None:
    made = helper.make_function("own", "F", [], ["c"], [constant(value)], [helper.make_opsetid("", 18)])
    model.functions.append(made)


def in_function_default(model: onnx.ModelProto, value: TensorProto) -> None:
    made = helper.make_function("own", "F", [], ["c"], [constant(tensor(1))], [helper.make_opsetid("", 18)])
    made.attribute_proto.append(attribute(t=value))
    model.functions.append(made)


def in_training(model: onnx.ModelProto, value: TensorProto) -> None:
    model.training_info.add().algorithm.CopyFrom(graph_of(value))


PLACES = [
    in_initializer,
    in_sparse_initializer,
    in_constant,
    in_tensor_list,
    in_sparse_attribute,
    in_sparse_list,
    in_branch,
    in_nested_branches,
    in_function,
    in_function_default,
    in_training,
]


def test_a_sound_model_passes(good: bytes) -> None:
    check_tensors(good)


@pytest.mark.parametrize("place", PLACES)
def test_finite_tensors_pass_anywhere(
    make_model: MakeModel, place: Callable[[onnx.ModelProto, TensorProto], None]
) -> None:
    model = make_model()
    place(model, tensor(1.0))
    check_tensors(model.SerializeToString())


@pytest.mark.parametrize("place", PLACES)
def test_external_data_is_refused_anywhere(
    make_model: MakeModel, place: Callable[[onnx.ModelProto, TensorProto], None]
) -> None:
    model = make_model()
    place(model, external())
    with pytest.raises(ModelFileError, match="external data"):
        check_tensors(model.SerializeToString())


@pytest.mark.parametrize("field", ["data_location", "external_data"])
def test_half_a_declaration_of_external_data_is_refused(make_model: MakeModel, field: str) -> None:
    model, half = make_model(), external()
    half.ClearField(field)
    in_initializer(model, half)
    with pytest.raises(ModelFileError, match="external data"):
        check_tensors(model.SerializeToString())


@pytest.mark.parametrize("place", PLACES)
def test_nan_is_refused_anywhere(
    make_model: MakeModel, place: Callable[[onnx.ModelProto, TensorProto], None]
) -> None:
    model = make_model()
    place(model, tensor(float("nan")))
    with pytest.raises(ModelFileError, match="'w' holds NaN or infinity"):
        check_tensors(model.SerializeToString())


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("data_type", FLOAT_TYPES)
@pytest.mark.parametrize("value", NOT_FINITE)
def test_what_is_not_finite_is_refused_in_every_encoding(
    make_model: MakeModel, value: float, data_type: int, raw: bool
) -> None:
    model = make_model(more_initializers=[tensor(0.5, value, -1.0, data_type=data_type, raw=raw)])
    with pytest.raises(ModelFileError, match="'w' holds NaN or infinity"):
        check_tensors(model.SerializeToString())


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("data_type", FLOAT_TYPES)
def test_the_largest_and_the_smallest_numbers_pass(make_model: MakeModel, data_type: int, raw: bool) -> None:
    values = (0.0, -0.0, 1e-7, LARGEST[data_type], -LARGEST[data_type])
    model = make_model(more_initializers=[tensor(*values, data_type=data_type, raw=raw)])
    check_tensors(model.SerializeToString())


@given(
    bits=st.lists(st.integers(0, 0xFFFF), max_size=8),
    data_type=st.sampled_from([TensorProto.FLOAT16, TensorProto.BFLOAT16]),
)
@example(bits=[0x7F80, 0x7FFF], data_type=TensorProto.BFLOAT16)
def test_16_bit_floats_as_varints_are_judged_as_numpy_does(bits: list[int], data_type: int) -> None:
    made = TensorProto(name="w", data_type=data_type, dims=[len(bits)], int32_data=bits)
    values = numpy_helper.to_array(made).astype(np.float64)
    content = onnx.ModelProto(graph=onnx.GraphProto(initializer=[made])).SerializeToString()
    if np.isfinite(values).all():
        check_tensors(content)
    else:
        with pytest.raises(ModelFileError, match="NaN"):
            check_tensors(content)


def test_integers_that_look_like_nan_pass(make_model: MakeModel) -> None:
    content = np.array([0x7FC0_0000], "<u4").tobytes()
    integers = helper.make_tensor("i", TensorProto.UINT32, [1], content, raw=True)
    check_tensors(make_model(more_initializers=[integers]).SerializeToString())


def test_unpacked_floats_are_examined() -> None:
    # Field 4, wire type 5: what writers did before protobuf packed numbers.
    for value, refused in ((1.0, False), (float("nan"), True)):
        entry = bytes([0x25]) + np.float32(value).tobytes()
        content = bytes([0x3A, 7, 0x2A, 5]) + entry
        if refused:
            with pytest.raises(ModelFileError, match="NaN"):
                check_tensors(content)
        else:
            check_tensors(content)


@pytest.mark.parametrize("content", [{"f": float("nan")}, {"floats": [1.0, float("inf")]}])
def test_attributes_that_are_not_finite_are_refused(make_model: MakeModel, content: dict[str, Any]) -> None:
    model = make_model(more_nodes=[node_with(attribute(**content))])
    with pytest.raises(ModelFileError, match="attribute 'a'"):
        check_tensors(model.SerializeToString())


def test_half_a_number_is_refused(make_model: MakeModel) -> None:
    half = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], raw_data=b"\0\0\0")
    with pytest.raises(ModelFileError, match="within a number"):
        check_tensors(make_model(more_initializers=[half]).SerializeToString())


def test_a_tag_that_protobuf_would_cut_to_external_data_is_refused() -> None:
    # Tag 0x6A is external_data; with bit 32 set protobuf still reads it so.
    entry = bytes([0xEA, 0x80, 0x80, 0x80, 0x10, 0])
    graph = bytes([0x2A, len(entry)]) + entry
    with pytest.raises(ModelFileError, match="field number"):
        check_tensors(bytes([0x3A, len(graph)]) + graph)


def test_a_location_that_protobuf_would_cut_to_external_is_refused() -> None:
    entry = bytes([0x70, 0x81, 0x80, 0x80, 0x80, 0x10])
    graph = bytes([0x2A, len(entry)]) + entry
    with pytest.raises(ModelFileError, match="external data"):
        check_tensors(bytes([0x3A, len(graph)]) + graph)


def test_metadata_is_read(good: bytes, spec: ModelSpec) -> None:
    assert read_metadata(good) == {"other": "kept", METADATA_KEY: spec.to_json()}


def test_metadata_that_is_not_text_is_refused() -> None:
    with pytest.raises(ModelFileError, match="UTF-8"):
        read_metadata(bytes([0x3A, 0, 0x72, 3, 0x12, 1, 0xFF]))


@pytest.mark.parametrize("content", [b"", bytes([0x08, 0x09])])
def test_no_graph_is_no_model(content: bytes) -> None:
    with pytest.raises(ModelFileError, match="no graph"):
        read_metadata(content)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80",  # a tag without an end
        b"\xff" * 11,  # a tag of more than 64 bits
        b"\x08\xff",  # a value without an end
        b"\x3a\x05\x00",  # a length past the end
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",  # a length past any end
        b"\x0d\x00\x00",  # 32 bits cut short
        b"\x09\x00\x00\x00\x00",  # 64 bits cut short
        b"\x0b\x0c",  # a group
        b"\x0e",  # no wire type
        b"\x02\x00",  # field 0
    ],
)
def test_damaged_bytes_are_refused(content: bytes) -> None:
    for read in (read_metadata, check_tensors):
        with pytest.raises(ModelFileError, match="damaged"):
            read(content)


def test_unknown_fields_are_passed_over(good: bytes) -> None:
    # Fields 1000 to 1003, one of each wire type.
    strange = b"\xc0\x3e\x05" + b"\xc9\x3e" + bytes(8) + b"\xd2\x3e\x02ab" + b"\xdd\x3e" + bytes(4)
    assert read_metadata(good + strange) == read_metadata(good)
    check_tensors(good + strange)


def test_nesting_has_no_depth_to_fail_at() -> None:
    # graph > node > attribute > graph > ..., far over any recursion limit.
    tags = [0x32, 0x2A, 0x0A]  # attribute.g, node.attribute, graph.node
    content = b""
    for level in range(30_000):
        length, varint = len(content), []
        while length > 0x7F:
            varint.append(length & 0x7F | 0x80)
            length >>= 7
        content = bytes([tags[level % 3], *varint, length]) + content
    header = bytes([0x3A, *(len(content) >> 7 * i & 0x7F | 0x80 for i in range(4)), 0])
    check_tensors(header + content)


def test_the_number_of_fields_is_bounded() -> None:
    content = b"\x08\x01" * (MAX_PROTOBUF_FIELDS + 1)
    begin = time.perf_counter()
    for read in (read_metadata, check_tensors):
        with pytest.raises(ModelFileError, match="too many"):
            read(content)
    assert time.perf_counter() - begin < 20


def test_every_truncation_is_read_or_refused(good: bytes) -> None:
    for length in range(len(good)):
        for read in (read_metadata, check_tensors):
            with contextlib.suppress(ModelFileError):
                read(good[:length])


@given(st.binary(max_size=200))
def test_random_bytes_only_raise_model_file_error(content: bytes) -> None:
    for wrapped in (content, bytes([0x3A, len(content) & 0x7F | 0x80, len(content) >> 7]) + content):
        for read in (read_metadata, check_tensors):
            with contextlib.suppress(ModelFileError):
                read(wrapped)


@given(data=st.data())
def test_mutated_models_only_raise_model_file_error(good: bytes, data: st.DataObject) -> None:
    content = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(content) - 1))
        content[position] = data.draw(st.integers(0, 255))
    for read in (read_metadata, check_tensors):
        with contextlib.suppress(ModelFileError):
            read(bytes(content))


@pytest.mark.parametrize("name", ["digits", "latin-large"])
def test_keeping_one_key_of_the_metadata_leaves_the_network_alone(name: str) -> None:
    content = model_path(name).read_bytes()
    kept = keep_metadata(content, METADATA_KEY)
    assert list(read_metadata(kept)) == [METADATA_KEY]
    assert set(read_metadata(content)) > {METADATA_KEY}
    before, after = onnx.load_from_string(content), onnx.load_from_string(kept)
    assert read_metadata(kept)[METADATA_KEY] == read_metadata(content)[METADATA_KEY]
    del before.metadata_props[:], after.metadata_props[:]
    assert before == after
