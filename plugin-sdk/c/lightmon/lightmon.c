/* Exports, imports and memory allocation. The layouts follow the component model's canonical ABI (CanonicalABI.md,
 * "Flattening" and "Storing") for wit/v0.1/plugin.wit. */
#include "lightmon.h"

_Static_assert(sizeof(void *) == 4, "for wasm32");
_Static_assert(sizeof(lm_text) == 8 && sizeof(lm_pair) == 16 && sizeof(lm_maybe_text) == 12, "strings");
_Static_assert(sizeof(lm_parent) == 24 && sizeof(lm_process) == 52, "record process");
_Static_assert(offsetof(lm_process, path) == 16 && offsetof(lm_process, parents) == 40, "record process");
_Static_assert(sizeof(lm_container) == 36 && offsetof(lm_container, labels) == 24, "record container");
_Static_assert(sizeof(lm_event) == 136 && _Alignof(lm_event) == 8, "record event");
_Static_assert(offsetof(lm_event, source) == 24 && offsetof(lm_event, pid) == 56, "record event");
_Static_assert(offsetof(lm_event, process) == 72 && offsetof(lm_event, container) == 80, "record event");
_Static_assert(offsetof(lm_event, tags) == 100 && offsetof(lm_event, source_port) == 124, "record event");
_Static_assert(offsetof(lm_event, outcome) == 132, "record event");

/* Memory is allocated in chunks of whole pages. The chunks of a call are reused by the next call. Memory from lm_keep is
 * never freed. */

enum { PAGE_BYTES = 65536 };

typedef struct chunk {
    struct chunk *next;
    uint32_t size, used;
} chunk;

static chunk *call_first, *call_last, *keep_chunk;

static chunk *new_chunk(size_t size) {
    size_t pages = (size + sizeof(chunk) + 15 + PAGE_BYTES - 1) / PAGE_BYTES;
    size_t at = __builtin_wasm_memory_grow(0, pages);
    if (at == (size_t)-1)
        __builtin_trap();
    chunk *new = (chunk *)(at * PAGE_BYTES);
    *new = (chunk){.size = pages * PAGE_BYTES, .used = sizeof(chunk)};
    return new;
}

/* Returns NULL if the chunk is full. */
static void *alloc_in(chunk *from, size_t align, size_t size) {
    if (!from)
        return NULL;
    uint32_t at = (from->used + align - 1) & ~(align - 1);
    if (at > from->size || size > from->size - at)
        return NULL;
    from->used = at + size;
    return (char *)from + at;
}

static void *alloc_for_call(size_t align, size_t size) {
    if (size > UINT32_MAX - 2 * PAGE_BYTES)
        __builtin_trap();
    void *memory;
    while (!(memory = alloc_in(call_last, align, size))) {
        chunk *next = call_last ? call_last->next : NULL;
        if (!next || next->size < size + sizeof(chunk) + align) {
            chunk *new = new_chunk(size);
            new->next = next;
            *(call_last ? &call_last->next : &call_first) = new;
            next = new;
        }
        call_last = next;
        call_last->used = sizeof(chunk);
    }
    return memory;
}

void *lm_alloc(size_t size) { return memset(alloc_for_call(8, size), 0, size); }

void *lm_keep(size_t size) {
    if (size > UINT32_MAX - 2 * PAGE_BYTES)
        __builtin_trap();
    void *memory = alloc_in(keep_chunk, 8, size);
    if (!memory) {
        keep_chunk = new_chunk(size);
        memory = alloc_in(keep_chunk, 8, size);
    }
    return memset(memory, 0, size);
}

lm_text lm_keep_text(lm_text text) { return (lm_text){memcpy(lm_keep(text.len), text.ptr, text.len), text.len}; }

/* The host calls this to allocate memory for the arguments of a call and for the results of imports. */
LM_EXPORT_("cabi_realloc") void *lm_export_realloc_(void *old, size_t old_size, size_t align, size_t size) {
    void *new = alloc_for_call(align, size);
    return old ? memcpy(new, old, old_size < size ? old_size : size) : new;
}

void lm_end_call_(void *answer) {
    (void)answer;
    call_last = call_first;
    if (call_last)
        call_last->used = sizeof(chunk);
}

/* init: result<setup, string> */

typedef struct {
    uint8_t is_error;
    union {
        struct {
            uint8_t needs;
            lm_maybe_text when;
            const uint8_t *kinds;
            uint32_t kinds_len;
        } setup;
        lm_text error;
    };
} init_answer;
_Static_assert(sizeof(init_answer) == 28 && offsetof(init_answer, setup.when) == 8, "result<setup, string>");

LM_EXPORT_("lightmon:plugin/filter@0.1.0#init") void *lm_export_init_(const char *settings, uint32_t len) {
    lm_setup setup = lm_init_((lm_text){settings, len});
    init_answer *answer = lm_alloc(sizeof *answer);
    if (setup.error.len) {
        answer->is_error = 1;
        answer->error = setup.error;
        return answer;
    }
    answer->setup.needs = setup.needs;
    answer->setup.when = (lm_maybe_text){setup.when.len > 0, setup.when};
    answer->setup.kinds = setup.kinds;
    answer->setup.kinds_len = setup.kinds ? setup.kinds_len : 0;
    return answer;
}

LM_EXPORT_("cabi_post_lightmon:plugin/filter@0.1.0#init") void lm_export_post_init_(void *answer) {
    lm_end_call_(answer);
}

/* process: func(batch) -> list<action> */

typedef struct {
    uint8_t what; /* 0 drop, 1 tag, 2 set, 3 line */
    uint32_t event;
    lm_text a, b;
} action;
_Static_assert(sizeof(action) == 24 && offsetof(action, a) == 8, "variant action");

struct lm_verdict {
    uint32_t event;
};

typedef struct {
    void *list;
    uint32_t len, capacity;
} vector;

static vector actions;
static lm_verdict *verdicts;

/* Appends an uninitialized item and returns its address. */
static void *push(vector *items, size_t size) {
    if (items->len == items->capacity) {
        items->capacity = items->capacity ? 2 * items->capacity : 16;
        items->list = memcpy(alloc_for_call(8, items->capacity * size), items->list, items->len * size);
    }
    return (char *)items->list + size * items->len++;
}

static void add_action(lm_verdict *verdict, uint8_t what, lm_text a, lm_text b) {
    *(action *)push(&actions, sizeof(action)) = (action){what, verdict->event, a, b};
}

void lm_drop(lm_verdict *verdict) { add_action(verdict, 0, LM(""), LM("")); }
void lm_tag(lm_verdict *verdict, lm_text key, lm_text value) { add_action(verdict, 1, key, value); }
void lm_set(lm_verdict *verdict, lm_text field, lm_text text) { add_action(verdict, 2, field, text); }
void lm_line(lm_verdict *verdict, lm_text text) { add_action(verdict, 3, text, LM("")); }

lm_verdict *lm_verdict_of(uint32_t event) { return &verdicts[event]; }

/* The result of an export that returns a list: the address of a pointer and a length. */
static void *answer(const vector *items) {
    vector *list = lm_alloc(sizeof *list);
    *list = *items;
    return list;
}

/* Resolves an optional index into a table. The host stores an option and an index; the caller overwrites the option with the
 * returned pointer. */
static const void *entry_or_null(const void *field, const void *table, size_t size, uint32_t index) {
    bool some = *(const uint8_t *)field;
    return some ? (const char *)table + size * index : NULL;
}

LM_EXPORT_("lightmon:plugin/filter@0.1.0#process")
void *lm_export_process_(
    const lm_process *processes, uint32_t processes_len, const lm_container *containers, uint32_t containers_len,
    lm_event *events, uint32_t len) {
    (void)processes_len, (void)containers_len;
    actions = (vector){0};
    verdicts = lm_alloc(len * sizeof *verdicts);
    for (uint32_t i = 0; i < len; i++) {
        lm_event *event = &events[i];
        event->process = entry_or_null(&event->process, processes, sizeof *processes, event->process_index);
        event->container = entry_or_null(&event->container, containers, sizeof *containers, event->container_index);
        verdicts[i].event = i;
    }
    lm_batch_(&(lm_batch){events, len});
    return answer(&actions);
}

LM_EXPORT_("cabi_post_lightmon:plugin/filter@0.1.0#process") void lm_export_post_process_(void *answer) {
    lm_end_call_(answer);
}

/* tick, stop: func(u64) -> list<report> */

typedef struct {
    lm_text name;
    vector fields;
} report;

struct lm_reports {
    vector list;
};

void lm_report(lm_reports *reports, lm_text name) {
    *(report *)push(&reports->list, sizeof(report)) = (report){.name = name};
}

void lm_field(lm_reports *reports, lm_text key, lm_text value) {
    if (!reports->list.len)
        lm_report(reports, LM("report"));
    report *last = (report *)reports->list.list + reports->list.len - 1;
    *(lm_pair *)push(&last->fields, sizeof(lm_pair)) = (lm_pair){key, value};
}

void *lm_collect_reports_(void (*collect)(uint64_t now_ns, lm_reports *reports), uint64_t now_ns) {
    lm_reports reports = {0};
    collect(now_ns, &reports);
    struct {
        lm_text name;
        const void *fields;
        uint32_t len;
    } *list = lm_alloc(reports.list.len * sizeof *list);
    _Static_assert(sizeof *list == 16, "record report");
    const report *from = reports.list.list;
    for (uint32_t i = 0; i < reports.list.len; i++) {
        list[i].name = from[i].name;
        list[i].fields = from[i].fields.list;
        list[i].len = from[i].fields.len;
    }
    return answer(&(vector){list, reports.list.len, 0});
}

/* Imports. The linker omits functions that the plugin does not call. */

#define IMPORT(interface, name)                                                                                        \
    __attribute__((import_module("lightmon:plugin/" interface "@0.1.0"), import_name(name))) extern

IMPORT("log", "log") void host_log(uint32_t level, const char *text, uint32_t len);
IMPORT("counter", "add") void host_add(const char *name, uint32_t len, uint64_t delta);
IMPORT("kv", "get") void host_get(const char *key, uint32_t len, lm_maybe_text *answer);
IMPORT("kv", "set") uint32_t host_set(const char *key, uint32_t len, const char *value, uint32_t value_len);
IMPORT("kv", "delete") void host_delete(const char *key, uint32_t len);

typedef struct {
    uint8_t is_error;
    union {
        uint32_t table;
        lm_text error;
    };
} open_answer;
_Static_assert(sizeof(open_answer) == 12, "result<u32, string>");

typedef struct {
    const lm_maybe_text *list;
    uint32_t len;
} lookup_answer;

IMPORT("tables", "open")
void host_open(const char *name, uint32_t len, const char *column, uint32_t column_len, open_answer *answer);
IMPORT("tables", "lookup-ip")
void host_lookup_ip(uint32_t table, const lm_ip *addresses, uint32_t len, lookup_answer *answer);
IMPORT("tables", "lookup-name")
void host_lookup_name(uint32_t table, const lm_text *names, uint32_t len, lookup_answer *answer);

void lm_log(uint8_t level, lm_text text) { host_log(level, text.ptr, text.len); }
void lm_count(lm_text counter, uint64_t delta) { host_add(counter.ptr, counter.len, delta); }

bool lm_kv_get(lm_text key, lm_text *value) {
    lm_maybe_text answer;
    host_get(key.ptr, key.len, &answer);
    if (answer.some)
        *value = answer.value;
    return answer.some;
}

bool lm_kv_set(lm_text key, lm_text value) { return host_set(key.ptr, key.len, value.ptr, value.len); }
void lm_kv_delete(lm_text key) { host_delete(key.ptr, key.len); }

bool lm_table_open(lm_text name, lm_text column, uint32_t *table, lm_text *error) {
    open_answer answer;
    host_open(name.ptr, name.len, column.ptr, column.len, &answer);
    if (answer.is_error)
        *error = answer.error;
    else
        *table = answer.table;
    return !answer.is_error;
}

const lm_maybe_text *lm_table_ips(uint32_t table, const lm_ip *addresses, uint32_t len) {
    lookup_answer answer;
    host_lookup_ip(table, addresses, len, &answer);
    return answer.list;
}

const lm_maybe_text *lm_table_names(uint32_t table, const lm_text *names, uint32_t len) {
    lookup_answer answer;
    host_lookup_name(table, names, len, &answer);
    return answer.list;
}
