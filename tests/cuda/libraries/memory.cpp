// Blocks of device and pinned memory. Addresses are never used twice: what was freed stays unmapped.
//
// A device block ends at the end of a page, and an unmapped page follows. Blocks begin at multiples of 256 bytes, as CUDA
// promises, so up to 255 bytes follow a block whose size is none; they hold a pattern that is checked when it is freed.
//
// A block's pages are protected until the first touch of running work, whose fault opens them, and again when it ends. So
// work costs by the blocks that it touches, of however many.
#include <sys/mman.h>

#include <cstring>
#include <iterator>

#include "device.hpp"

namespace stand_in {

enum : size_t { PAGE = 4096, ALIGNMENT = 256, GRAIN = 512, RESERVED = size_t(1) << 40 };
static const unsigned char PATTERN = 0xA5, POISON = 0xFF;  // floats of the latter are NaN

static int opened = 0;
static bool all = false;                     // whether new blocks are open, too
static std::vector<uintptr_t> open_blocks;   // their places

static void open(uintptr_t place, Block& block) {
    mprotect((void*)block.pages, block.mapped, PROT_READ | PROT_WRITE);
    block.open = true;
    open_blocks.push_back(place);
}

void open_memory() {
    device().lock.lock();
    ++opened;
}

void close_memory() {
    if (--opened == 0) {
        for (uintptr_t place : open_blocks) {
            auto at = device().blocks.find(place);
            if (at == device().blocks.end()) continue;  // freed
            mprotect((void*)at->second.pages, at->second.mapped, PROT_NONE);
            at->second.open = false;
        }
        open_blocks.clear();
        all = false;
    }
    device().lock.unlock();
}

void open_all() {
    open_memory();
    all = true;
    for (auto& [place, block] : device().blocks) {
        if (block.kind == Kind::DEVICE && !block.open) open(place, block);
    }
}

bool open_at(const void* address) {
    auto& blocks = device().blocks;
    auto next = blocks.upper_bound((uintptr_t)address);  // before a block's place lie the bytes that fill its pages
    for (auto at : {next, next == blocks.begin() ? blocks.end() : std::prev(next)}) {
        if (at == blocks.end()) continue;
        Block& block = at->second;
        if ((uintptr_t)address - block.pages >= block.mapped || block.kind != Kind::DEVICE || block.open) continue;
        open(at->first, block);
        return true;
    }
    return false;
}

static size_t rounded(size_t size, size_t unit) { return (size + unit - 1) / unit * unit; }

uintptr_t allocate(size_t size, Kind kind) {
    static const uintptr_t reserved =
        (uintptr_t)mmap(nullptr, RESERVED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    static uintptr_t next = reserved;
    Device& on = device();
    size_t& used = kind == Kind::DEVICE ? on.used : on.pinned;
    const size_t room = kind == Kind::DEVICE ? on.total : on.most_pinned, mapped = rounded(size, PAGE);
    if ((void*)reserved == MAP_FAILED || next + mapped + PAGE > reserved + RESERVED) return 0;
    if (size > room || used + rounded(size, GRAIN) > room) return 0;
    if (mprotect((void*)next, mapped, PROT_READ | PROT_WRITE)) return 0;
    const Block block = {size, mapped, next, kind};
    next += mapped + PAGE;
    used += rounded(size, GRAIN);
    uintptr_t place = block.pages;
    if (kind == Kind::DEVICE) {
        place += mapped - rounded(size, ALIGNMENT);
        memset((void*)block.pages, PATTERN, mapped);
        memset((void*)place, POISON, size);
        if (!all) mprotect((void*)block.pages, mapped, PROT_NONE);
    }
    on.blocks[place] = block;
    if (all) open(place, on.blocks[place]);
    return place;
}

bool release(void* pointer, Kind kind) {
    Device& on = device();
    const uintptr_t place = (uintptr_t)pointer;
    auto at = on.blocks.find(place);
    if (at == on.blocks.end() || at->second.kind != kind) return false;
    const Block block = at->second;
    if (kind == Kind::DEVICE) {
        mprotect((void*)block.pages, block.mapped, PROT_READ);
        const unsigned char* byte = (const unsigned char*)block.pages;
        for (size_t i = 0; i < block.mapped; ++i) {
            const uintptr_t here = block.pages + i;
            if ((here >= place && here < place + block.size) || byte[i] == PATTERN) continue;
            say("something wrote beside the block of %zu bytes at %p", block.size, pointer);
            on.lost = cudaErrorIllegalAddress;
            break;
        }
    }
    (kind == Kind::DEVICE ? on.used : on.pinned) -= rounded(block.size, GRAIN);
    on.blocks.erase(at);
    mmap((void*)block.pages, block.mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    return true;
}

const Block* find(const void* place, size_t* left) {
    auto next = device().blocks.upper_bound((uintptr_t)place);
    if (next == device().blocks.begin()) return nullptr;
    --next;
    const size_t offset = (uintptr_t)place - next->first;
    if (offset >= next->second.size) return nullptr;
    if (left) *left = next->second.size - offset;
    return &next->second;
}

Kind kind_of(const void* place) {
    const Block* block = find(place);
    return block ? block->kind : Kind::PAGEABLE;
}

bool holds(const void* place, size_t size, Kind kind) {
    size_t left = 0;
    const Block* block = find(place, &left);
    return block ? block->kind == kind && size <= left : kind == Kind::PAGEABLE;
}

}  // namespace stand_in
