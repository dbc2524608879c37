/* Reads the JSON object with the settings that init receives. lightmon writes the object, so it is well-formed; reading stops
 * at a syntax error. */
#include "lightmon.h"

static void advance(lm_text *json, uint32_t bytes) {
    json->ptr += bytes;
    json->len -= bytes;
}

/* Skips white space and returns the next byte without consuming it; 0 at the end. */
static char next(lm_text *json) {
    while (json->len && (*json->ptr == ' ' || *json->ptr == '\t' || *json->ptr == '\n' || *json->ptr == '\r'))
        advance(json, 1);
    return json->len ? *json->ptr : 0;
}

static bool hex4(const char *at, uint32_t *code) {
    *code = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        uint32_t digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 16;
        if (digit > 15)
            return false;
        *code = *code << 4 | digit;
    }
    return true;
}

static void put_code_point(lm_builder *text, uint32_t code) {
    char utf8[4];
    uint32_t len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (uint32_t i = len; i-- > 1; code >>= 6)
        utf8[i] = (char)(0x80 | (code & 0x3f));
    utf8[0] = (char)(first[len] | code);
    lm_put(text, (lm_text){utf8, len});
}

/* Reads the escape sequence at the beginning of `json` and appends its character to `text`. */
static bool read_escape(lm_text *json, lm_builder *text) {
    static const char names[] = "\"\\/bfnrt", codes[] = "\"\\/\b\f\n\r\t";
    if (json->len < 2)
        return false;
    if (json->ptr[1] != 'u') {
        for (uint32_t i = 0; names[i]; i++)
            if (names[i] == json->ptr[1]) {
                put_code_point(text, (uint32_t)codes[i]);
                advance(json, 2);
                return true;
            }
        return false;
    }
    uint32_t code, low;
    if (json->len < 6 || !hex4(json->ptr + 2, &code))
        return false;
    advance(json, 6);
    bool is_high = code >= 0xd800 && code < 0xdc00;
    if (is_high && json->len >= 6 && json->ptr[0] == '\\' && json->ptr[1] == 'u' && hex4(json->ptr + 2, &low) &&
        low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        advance(json, 6);
    }
    /* An unpaired surrogate becomes U+FFFD. */
    put_code_point(text, code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
    return true;
}

static bool read_text(lm_text *json, lm_text *text) {
    if (next(json) != '"')
        return false;
    advance(json, 1);
    lm_builder read = {0};
    for (;;) {
        uint32_t plain = 0;
        while (plain < json->len && json->ptr[plain] != '"' && json->ptr[plain] != '\\')
            plain++;
        lm_put(&read, (lm_text){json->ptr, plain});
        advance(json, plain);
        if (!json->len)
            return false;
        if (*json->ptr == '"')
            break;
        if (!read_escape(json, &read))
            return false;
    }
    advance(json, 1);
    *text = read.text;
    return true;
}

/* Reads a value that is not a string; returns its JSON unchanged. */
static lm_text read_raw(lm_text *json) {
    lm_text start = *json, ignored;
    uint32_t depth = 0;
    for (char c; (c = next(json));) {
        if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            break;
        if (c == '"') {
            if (!read_text(json, &ignored))
                break;
            continue;
        }
        if (c == '{' || c == '[')
            depth++;
        if (c == '}' || c == ']')
            depth--;
        advance(json, 1);
    }
    return (lm_text){start.ptr, (uint32_t)(json->ptr - start.ptr)};
}

static bool read_value(lm_text *json, lm_kind *kind, lm_text *value) {
    switch (next(json)) {
    case '"':
        *kind = LM_IS_TEXT;
        return read_text(json, value);
    case '{':
        *kind = LM_IS_OBJECT;
        break;
    case '[':
        *kind = LM_IS_LIST;
        break;
    case 't':
    case 'f':
        *kind = LM_IS_BOOL;
        break;
    case 'n':
        *kind = LM_IS_NULL;
        break;
    default:
        *kind = LM_IS_NUMBER;
    }
    *value = read_raw(json);
    while (value->len && (uint8_t)value->ptr[value->len - 1] <= ' ')
        value->len--;
    return value->len;
}

bool lm_next_setting(lm_text *settings, lm_setting *setting) {
    char c = next(settings);
    if (c == '{' || c == ',')
        advance(settings, 1);
    if (!read_text(settings, &setting->key) || next(settings) != ':')
        return false;
    advance(settings, 1);
    return read_value(settings, &setting->kind, &setting->value);
}

bool lm_setting_u64(const lm_setting *setting, uint64_t *number) {
    return (setting->kind == LM_IS_NUMBER || setting->kind == LM_IS_TEXT) && lm_to_u64(setting->value, number);
}

bool lm_setting_bool(const lm_setting *setting, bool *yes) {
    *yes = lm_equal(setting->value, LM("true"));
    return (setting->kind == LM_IS_BOOL || setting->kind == LM_IS_TEXT) &&
           (*yes || lm_equal(setting->value, LM("false")));
}

bool lm_next_item(lm_setting *list, lm_text *item) {
    if (list->kind == LM_IS_TEXT)
        return lm_split(&list->value, '+', item);
    if (list->kind != LM_IS_LIST)
        return false;
    char c = next(&list->value);
    if (c == '[' || c == ',')
        advance(&list->value, 1);
    lm_kind kind;
    c = next(&list->value);
    return c && c != ']' && read_value(&list->value, &kind, item);
}

lm_setup lm_fail(lm_text error) { return (lm_setup){.error = error}; }

lm_setup lm_unknown(const lm_setting *setting) {
    lm_builder text = {0};
    lm_put(&text, LM("unknown setting `"));
    lm_put(&text, setting->key);
    lm_put(&text, LM("`"));
    return lm_fail(text.text);
}

lm_setup lm_bad(const lm_setting *setting, lm_text expected) {
    lm_builder text = {0};
    lm_put(&text, LM("setting `"));
    lm_put(&text, setting->key);
    lm_put(&text, LM("`: expected "));
    lm_put(&text, expected);
    return lm_fail(text.text);
}
