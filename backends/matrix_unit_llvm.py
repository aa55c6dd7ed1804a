"""The instructions of matrix_unit.py, as Numba compiles them."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .matrix_unit import ALL_PAIRS, PAIRS, SIDE, STEP, TERMS, TILE


@intrinsic
def begin(typing):
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte = ir.IntType(8)
        shape = bytearray(64)
        shape[0] = 1  # the palette
        for tile in range(8):
            shape[16 + 2 * tile], shape[48 + tile] = 64, SIDE  # bytes of a row, and rows
        kind = ir.ArrayType(byte, 64)
        place = cgutils.alloca_once(builder, kind)
        builder.store(ir.Constant(kind, shape), place)
        function = ir.FunctionType(ir.VoidType(), [byte.as_pointer()])
        configure = cgutils.get_or_insert_function(builder.module, function, "llvm.x86.ldtilecfg")
        builder.call(configure, [builder.bitcast(place, byte.as_pointer())])
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def end(typing):
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function = ir.FunctionType(ir.VoidType(), [])
        builder.call(cgutils.get_or_insert_function(builder.module, function, "llvm.x86.tilerelease"), [])
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def split(typing, a, a0, n0, factor0, a1, n1, factor1, out, at):
    whole = a.dtype == types.int16

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, a0, n0, factor0, a1, n1, factor1, out, at = arguments
        word, real, long = ir.IntType(32), ir.FloatType(), ir.IntType(64)
        kind, mask = ir.IntType(16) if whole else real, ir.IntType(SIDE)
        words, reals, kinds, bits = (ir.VectorType(scalar, SIDE) for scalar in (word, real, kind, ir.IntType(1)))
        function = ir.FunctionType(kinds, [kinds.as_pointer(), word, bits, kinds])
        name = f"llvm.masked.load.v16{'i16' if whole else 'f32'}.p0"
        masked = cgutils.get_or_insert_function(builder.module, function, name)
        source = context.make_array(signature.args[0])(context, builder, a).data
        target = context.make_array(signature.args[7])(context, builder, out).data

        def read(start: Any, count: Any, factor: Any) -> Any:
            some = builder.sub(builder.shl(long(1), builder.and_(count, long(SIDE - 1))), long(1))
            all_of_them = builder.icmp_signed(">=", count, long(SIDE))
            some = builder.select(builder.icmp_signed(">", count, long(0)), some, long(0))
            wanted = builder.bitcast(builder.trunc(builder.select(all_of_them, long(-1), some), mask), bits)
            place = builder.bitcast(builder.gep(source, [start]), kinds.as_pointer())
            values = builder.call(masked, [place, word(2 if whole else 4), wanted, kinds([0] * SIDE)])
            if whole:
                return builder.sitofp(builder.sext(values, words), reals)
            one = builder.insert_element(reals(ir.Undefined), factor, word(0))
            return builder.fmul(values, builder.shuffle_vector(one, reals(ir.Undefined), words([0] * SIDE)))

        def rounded(value: Any) -> Any:
            half = builder.add(builder.bitcast(value, words), words([0x8000] * SIDE))
            return builder.and_(half, words([0xFFFF0000] * SIDE))

        rest = [read(a0, n0, factor0), read(a1, n1, factor1)]
        terms = 1 if whole else TERMS
        for term in range(terms):
            if term < terms - 1:
                low, high = (rounded(value) for value in rest)
                rest = [builder.fsub(v, builder.bitcast(t, reals)) for v, t in zip(rest, (low, high), strict=True)]
            else:  # the remainder has at most 8 bits
                low, high = (builder.bitcast(value, words) for value in rest)
                high = builder.and_(high, words([0xFFFF0000] * SIDE))
            both = builder.or_(builder.lshr(low, words([16] * SIDE)), high)
            place = builder.gep(target, [builder.add(at, long(term * TILE))])
            builder.store(both, builder.bitcast(place, words.as_pointer())).align = 4
        return context.get_dummy_value()

    half = [types.int64, types.int64, types.float32]
    return types.void(a, *half, *half, out, types.int64), generate


@intrinsic(prefer_literal=True)
def tiles(typing, rows, columns, a, a0, am, b, b0, bm, c, c0, cm, steps, more, pairs):
    height, width = rows.literal_value, columns.literal_value
    signature = types.void(rows, columns, a, *[types.int64] * 2, b, *[types.int64] * 2, c, *[types.int64] * 5)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, _, a, a0, am, b, b0, bm, c, c0, cm, steps, more, pairs = arguments
        byte, word = ir.IntType(8), ir.IntType(64)

        def call(name: str, *operands: Any) -> None:
            kind = ir.FunctionType(ir.VoidType(), [operand.type for operand in operands])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}"), operands)

        def address(position: int, array: Any, offset: Any) -> Any:
            data = context.make_array(signature.args[position])(context, builder, array).data
            return builder.add(builder.ptrtoint(data, word), builder.mul(offset, word(4)))

        def pointer(place: Any, offset: Any) -> Any:
            return builder.inttoptr(builder.add(place, offset), byte.as_pointer())

        at_c, row = address(8, c, c0), builder.mul(cm, word(4))
        cells = {(i, j): i * width + j for i in range(height) for j in range(width)}
        places = {(i, j): pointer(at_c, builder.add(builder.mul(row, word(SIDE * i)), word(64 * j))) for i, j in cells}
        first_a, first_b = address(2, a, a0), address(5, b, b0)
        next_a, next_b = builder.mul(am, word(4)), builder.mul(bm, word(4))
        load, clear, begin, done = (builder.append_basic_block(n) for n in ("load", "clear", "begin", "done"))
        loops = [builder.append_basic_block("loop") for _ in PAIRS]
        builder.cbranch(builder.icmp_signed("!=", more, word(0)), load, clear)
        builder.position_at_end(load)
        for cell, number in cells.items():
            call("tileloadd64", byte(number), places[cell], row)
        builder.branch(begin)
        builder.position_at_end(clear)
        for number in cells.values():
            call("tilezero", byte(number))
        builder.branch(begin)
        builder.position_at_end(begin)
        choice = builder.switch(pairs, loops[ALL_PAIRS])
        for number, loop in enumerate(loops):
            if number != ALL_PAIRS:
                choice.add_case(word(number), loop)
            builder.position_at_end(loop)
            left, at_a, at_b = (builder.phi(word) for _ in range(3))
            left.add_incoming(steps, begin)
            at_a.add_incoming(first_a, begin)
            at_b.add_incoming(first_b, begin)
            before: tuple[Any, Any] = None, None
            for pair in PAIRS[number]:
                if pair[0] != before[0]:
                    for i in range(height):
                        offset = builder.add(builder.mul(next_a, word(i)), word(4 * TILE * pair[0]))
                        call("tileloadd64", byte(4 + i), pointer(at_a, offset), word(64))
                if pair[1] != before[1]:
                    for j in range(width):
                        offset = builder.add(builder.mul(next_b, word(j)), word(4 * TILE * pair[1]))
                        call("tileloadd64", byte(6 + j), pointer(at_b, offset), word(64))
                for (i, j), cell in cells.items():
                    call("tdpbf16ps", byte(cell), byte(4 + i), byte(6 + j))
                before = pair
            rest = builder.sub(left, word(1))
            left.add_incoming(rest, loop)
            at_a.add_incoming(builder.add(at_a, word(4 * STEP)), loop)
            at_b.add_incoming(builder.add(at_b, word(4 * STEP)), loop)
            builder.cbranch(builder.icmp_signed(">", rest, word(0)), loop, done)
        builder.position_at_end(done)
        for cell, number in cells.items():
            call("tilestored64", byte(number), places[cell], row)
        return context.get_dummy_value()

    return signature, generate
