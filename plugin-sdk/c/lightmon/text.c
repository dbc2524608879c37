/* Functions for texts, numbers, addresses and words, and the four memory functions that the compiler may call. */
#include "lightmon.h"

void *memcpy(void *restrict to, const void *restrict from, size_t len) {
    char *a = to;
    const char *b = from;
    while (len--)
        *a++ = *b++;
    return to;
}

void *memmove(void *to, const void *from, size_t len) {
    char *a = to;
    const char *b = from;
    if (a < b)
        return memcpy(to, from, len);
    while (len--)
        a[len] = b[len];
    return to;
}

void *memset(void *to, int byte, size_t len) {
    char *a = to;
    while (len--)
        *a++ = (char)byte;
    return to;
}

int memcmp(const void *one, const void *other, size_t len) {
    const unsigned char *a = one, *b = other;
    for (; len; len--, a++, b++)
        if (*a != *b)
            return *a < *b ? -1 : 1;
    return 0;
}

lm_text lm_from_c(const char *text) {
    uint32_t len = 0;
    while (text[len])
        len++;
    return (lm_text){text, len};
}

bool lm_equal(lm_text a, lm_text b) { return a.len == b.len && !memcmp(a.ptr, b.ptr, a.len); }

bool lm_starts_with(lm_text text, lm_text start) {
    return text.len >= start.len && !memcmp(text.ptr, start.ptr, start.len);
}

bool lm_ends_with(lm_text text, lm_text end) {
    return text.len >= end.len && !memcmp(text.ptr + text.len - end.len, end.ptr, end.len);
}

bool lm_split(lm_text *rest, char separator, lm_text *part) {
    if (!rest->len)
        return false;
    uint32_t end = 0;
    while (end < rest->len && rest->ptr[end] != separator)
        end++;
    *part = (lm_text){rest->ptr, end};
    uint32_t taken = end < rest->len ? end + 1 : end;
    *rest = (lm_text){rest->ptr + taken, rest->len - taken};
    return true;
}

lm_text lm_cut(lm_text text, uint32_t bytes) {
    if (text.len <= bytes)
        return text;
    /* In UTF-8, continuation bytes are 10xxxxxx. */
    while (bytes && ((unsigned char)text.ptr[bytes] & 0xc0) == 0x80)
        bytes--;
    return (lm_text){text.ptr, bytes};
}

bool lm_to_u64(lm_text text, uint64_t *number) {
    uint64_t value = 0;
    for (uint32_t i = 0; i < text.len; i++) {
        uint8_t digit = (uint8_t)(text.ptr[i] - '0');
        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return false;
        value = 10 * value + digit;
    }
    if (text.len)
        *number = value;
    return text.len;
}

const lm_text *lm_find(const lm_maybe_pairs *pairs, lm_text key) {
    for (uint32_t i = 0; pairs->some && i < pairs->len; i++)
        if (lm_equal(pairs->list[i].key, key))
            return &pairs->list[i].value;
    return NULL;
}

void lm_put(lm_builder *builder, lm_text text) {
    uint32_t len = builder->text.len;
    if (text.len > builder->capacity - len) {
        builder->capacity = 2 * (len + text.len) + 32;
        char *larger = lm_alloc(builder->capacity);
        builder->text.ptr = memcpy(larger, builder->text.ptr, len);
    }
    memcpy((char *)builder->text.ptr + len, text.ptr, text.len);
    builder->text.len = len + text.len;
}

static void put_number(lm_builder *builder, uint64_t number, uint32_t base) {
    char digits[20];
    uint32_t at = sizeof digits;
    do
        digits[--at] = "0123456789abcdef"[number % base];
    while (number /= base);
    lm_put(builder, (lm_text){digits + at, sizeof digits - at});
}

void lm_put_u64(lm_builder *builder, uint64_t number) { put_number(builder, number, 10); }

bool lm_is_v4(lm_ip ip) { return ip.hi == 0 && ip.lo >> 32 == 0xffff; }
uint32_t lm_v4(lm_ip ip) { return (uint32_t)ip.lo; }

static void put_v4(lm_builder *builder, uint32_t ip) {
    for (int shift = 24; shift >= 0; shift -= 8) {
        put_number(builder, ip >> shift & 0xff, 10);
        if (shift)
            lm_put(builder, LM("."));
    }
}

/* RFC 5952, section 4: no leading zeros, lower case, and `::` for the first of the longest runs of two or more zero groups. */
static void put_v6(lm_builder *builder, lm_ip ip) {
    uint16_t groups[8];
    for (int i = 0; i < 8; i++)
        groups[i] = (uint16_t)((i < 4 ? ip.hi : ip.lo) >> (48 - 16 * (i % 4)));
    int start = 8, longest = 1;
    for (int i = 0, run = 0; i < 8; i++) {
        run = groups[i] ? 0 : run + 1;
        if (run > longest) {
            longest = run;
            start = i + 1 - run;
        }
    }
    for (int i = 0; i < 8; i++) {
        if (i == start) {
            lm_put(builder, LM("::"));
            i += longest - 1;
            continue;
        }
        if (i > 0 && i != start + longest)
            lm_put(builder, LM(":"));
        put_number(builder, groups[i], 16);
    }
}

void lm_put_ip(lm_builder *builder, lm_ip ip) {
    if (lm_is_v4(ip))
        put_v4(builder, lm_v4(ip));
    else
        put_v6(builder, ip);
}

void lm_put_address(lm_builder *builder, lm_ip ip, uint16_t port) {
    bool v6 = !lm_is_v4(ip);
    if (v6)
        lm_put(builder, LM("["));
    lm_put_ip(builder, ip);
    lm_put(builder, v6 ? LM("]:") : LM(":"));
    lm_put_u64(builder, port);
}

lm_text lm_outcome_word(uint8_t outcome) {
    static const char *const words[] = {
        "established", "connected", "refused", "reset",   "timed-out", "unreachable",
        "denied",      "address-unavailable",  "aborted", "failed",    "pending",     "sent",
    };
    bool known = outcome >= 1 && outcome <= sizeof words / sizeof *words;
    return lm_from_c(known ? words[outcome - 1] : "unknown");
}

lm_text lm_protocol_word(uint8_t protocol) {
    if (protocol == LM_TCP)
        return LM("tcp");
    if (protocol == LM_UDP)
        return LM("udp");
    lm_builder number = {0};
    lm_put_u64(&number, protocol);
    return number.text;
}
