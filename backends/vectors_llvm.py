"""The blocks of vectors.py, as Numba compiles them."""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .machine_llvm import check_place
from .vectors import vector_bytes

LINE = 64  # bytes of a cache line
llvm.initialize_native_asmparser()  # for `.p2align`


@intrinsic(prefer_literal=True)
def tile(typing, rows, vectors, a, a0, am, ak, b, b0, bk, c, c0, cm, depth, more):
    signature = types.void(rows, vectors, a, *[types.int64] * 3, b, *[types.int64] * 2, c, *[types.int64] * 4)
    return signature, _tile


@intrinsic(prefer_literal=True)
def packing_tile(typing, rows, vectors, a, a0, am, ak, b, b0, bk, c, c0, cm, depth, more, packed, p0):
    integers = types.int64
    places = a, *[integers] * 3, b, *[integers] * 2, c, *[integers] * 4, packed, integers
    return types.void(rows, vectors, *places), _tile


def _tile(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Calls the LLVM function of a tile."""
    rows, vectors, kind = signature.args[:3]
    height, width, real = rows.literal_value, vectors.literal_value, kind.dtype
    lanes = vector_bytes() * 8 // real.bitwidth
    _, _, _, a0, am, ak, _, b0, bk, _, c0, cm, depth, more, *packed = arguments
    scalar, size, word = context.get_value_type(real), real.bitwidth // 8, ir.IntType(64)

    def last(start: Any, *ways: tuple[Any, Any]) -> Any:
        for count, stride in ways:
            start = builder.add(start, builder.mul(count, stride))
        return start

    one, deep, line = word(1), builder.sub(depth, word(1)), word(width * lanes)
    end = word(width * lanes - 1), one
    places = [
        (2, a0, (word(height - 1), am), (deep, ak)),
        (6, b0, (deep, bk), end),
        (9, c0, (word(height - 1), cm), end),
    ]
    if packed:
        places.append((14, packed[1], (deep, line), end))
    for position, first, *ways in places:
        check_place(context, builder, signature.args[position], arguments[position], first, last(first, *ways))

    def bytes_of(count: Any) -> Any:
        return builder.mul(count, word(size))

    def address(position: int, offset: Any) -> Any:
        data = context.make_array(signature.args[position])(context, builder, arguments[position]).data
        return builder.add(builder.ptrtoint(data, word), bytes_of(offset))

    starts = [address(position, first) for position, first, *_ in places]
    strides = [bytes_of(stride) for stride in (am, ak, bk, cm)]
    function = _tile_function(builder.module, scalar, lanes, height, width, bool(packed))
    builder.call(function, [*starts[:3], *strides, depth, more, *starts[3:]])
    return context.get_dummy_value()


def _tile_function(module: Any, scalar: Any, lanes: int, height: int, width: int, packs: bool) -> Any:
    """The LLVM function of a tile, with addresses and strides in bytes: a, b, c, am, ak, bk, cm, depth, more.

    One that packs has the address of the packed rows as its last argument.

    It is not inlined: inside a larger function, LLVM kept some sums in memory and not in registers (with AVX2, 44
    instead of 107 Gflop/s on one core). Its loop begins on a cache line: elsewhere, the steps of a network took up to
    1.12 times as long. It prefetches the rows of c behind its own, which are those of the next tile.
    """
    word, size = ir.IntType(64), 4 if isinstance(scalar, ir.FloatType) else 8
    vector, name = ir.VectorType(scalar, lanes), f"gearshift.{'packing.' * packs}tile.{height}.{width}.{scalar}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [word] * (9 + packs)), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    start_a, start_b, start_c, am, ak, bk, cm, depth, more, *start_packed = function.args
    entry = function.append_basic_block("entry")
    builder = ir.IRBuilder(entry)
    kind = ir.FunctionType(vector, [vector] * 3)
    # unlike llvm.fma, it does not call a function for each element on a CPU without fused multiply-adds
    multiply_add = cgutils.get_or_insert_function(module, kind, f"llvm.fmuladd.v{lanes}f{8 * size}")
    cells = [(row, column) for row in range(height) for column in range(width)]

    def pointer(base: Any, column: int) -> Any:
        return builder.inttoptr(builder.add(base, word(column * lanes * size)), vector.as_pointer())

    rows_a = [builder.mul(am, word(row)) for row in range(height)]
    rows_c = [builder.add(start_c, builder.mul(cm, word(row))) for row in range(height)]
    _prefetch(builder, [builder.add(row, builder.mul(cm, word(height))) for row in rows_c], width * lanes * size)
    load, begin, loop, done = (function.append_basic_block(name) for name in ("load", "begin", "loop", "done"))
    builder.cbranch(builder.icmp_signed("!=", more, word(0)), load, begin)
    builder.position_at_end(load)
    old = {cell: builder.load(pointer(rows_c[cell[0]], cell[1]), align=size) for cell in cells}
    builder.branch(begin)
    builder.position_at_end(begin)
    first = {cell: builder.phi(vector) for cell in cells}
    for cell in cells:
        first[cell].add_incoming(vector([0.0] * lanes), entry)
        first[cell].add_incoming(old[cell], load)
    builder.asm(ir.FunctionType(ir.VoidType(), []), f".p2align {LINE.bit_length() - 1}", "", [], True)
    builder.branch(loop)
    builder.position_at_end(loop)
    left, at_a, at_b, *at_packed = (builder.phi(word) for _ in range(3 + packs))
    sums = {cell: builder.phi(vector) for cell in cells}
    left.add_incoming(depth, begin)
    at_a.add_incoming(start_a, begin)
    at_b.add_incoming(start_b, begin)
    for place, start in zip(at_packed, start_packed, strict=True):
        place.add_incoming(start, begin)
    for cell in cells:
        sums[cell].add_incoming(first[cell], begin)
    columns = [builder.load(pointer(at_b, column), align=size) for column in range(width)]
    line = width * lanes * size
    for place in at_packed:
        _prefetch(builder, [builder.add(at_b, word(line))], line)  # hardware does not follow such large strides
        for column, value in enumerate(columns):
            copied: Any = builder.store(value, pointer(place, column))
            copied.align = size
    new = {}
    for row in range(height):
        one = builder.load(builder.inttoptr(builder.add(at_a, rows_a[row]), scalar.as_pointer()), align=size)
        undefined = vector(ir.Undefined)
        spread = builder.insert_element(undefined, one, ir.IntType(32)(0))
        spread = builder.shuffle_vector(spread, undefined, ir.VectorType(ir.IntType(32), lanes)([0] * lanes))
        for column in range(width):
            new[row, column] = builder.call(multiply_add, [spread, columns[column], sums[row, column]])
    rest = builder.sub(left, word(1))
    left.add_incoming(rest, loop)
    at_a.add_incoming(builder.add(at_a, ak), loop)
    at_b.add_incoming(builder.add(at_b, bk), loop)
    for place in at_packed:
        place.add_incoming(builder.add(place, word(line)), loop)
    for cell in cells:
        sums[cell].add_incoming(new[cell], loop)
    builder.cbranch(builder.icmp_signed(">", rest, word(0)), loop, done)
    builder.position_at_end(done)
    for row, column in cells:
        stored: Any = builder.store(new[row, column], pointer(rows_c[row], column))
        stored.align = size
    builder.ret_void()
    return function


def _prefetch(builder: Any, places: list[Any], size: int) -> None:
    """Prefetches `size` bytes from each address on."""
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    for place in places:
        for start in range(0, size, LINE):
            at = builder.inttoptr(builder.add(place, place.type(start)), byte)
            builder.call(fetch, [at, number(0), number(3), number(1)])


@intrinsic
def turn(typing, a, a0, am, b, b0, bm):
    real = a.dtype
    n = vector_bytes() * 8 // real.bitwidth

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        scalar, size = context.get_value_type(real), real.bitwidth // 8
        vector, index = ir.VectorType(scalar, n), ir.VectorType(ir.IntType(32), n)

        def row(position: int, number: int) -> Any:
            array, start, stride = arguments[position : position + 3]
            data = context.make_array(signature.args[position])(context, builder, array).data
            offset = builder.add(start, builder.mul(stride, ir.IntType(64)(number)))
            return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())

        for position in (0, 3):
            array, start, stride = arguments[position : position + 3]
            last = builder.add(start, builder.mul(stride, ir.IntType(64)(n - 1)))
            last = builder.add(last, ir.IntType(64)(n - 1))
            check_place(context, builder, signature.args[position], array, start, last)
        rows = [builder.load(row(0, number), align=size) for number in range(n)]
        halves = [index([i // 2 + start + (n if i % 2 else 0) for i in range(n)]) for start in (0, n // 2)]
        for _ in range(n.bit_length() - 1):  # a perfect shuffle of rows and columns, log2 n times
            pairs = [(rows[i], rows[i + n // 2]) for i in range(n // 2)]
            rows = [builder.shuffle_vector(*pair, half) for pair in pairs for half in halves]
        for number, value in enumerate(rows):
            builder.store(value, row(3, number)).align = size
        return context.get_dummy_value()

    return types.void(a, *[types.int64] * 2, b, *[types.int64] * 2), generate
