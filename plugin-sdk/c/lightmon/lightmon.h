/* SDK for lightmon plugins in C, without a C library: this header and the source files next to it. Needs clang 14 or later
 * with wasm-ld.
 *
 *     #include "lightmon/lightmon.h"
 *
 *     static lm_setup init(lm_text settings) {
 *         lm_setting setting;
 *         while (lm_next_setting(&settings, &setting))
 *             return lm_unknown(&setting);
 *         return (lm_setup){.needs = LM_PROCESS};
 *     }
 *
 *     static void event(const lm_event *event, lm_verdict *verdict) {
 *         if (event->destination_port == 53)
 *             lm_drop(verdict);
 *         else
 *             lm_tag(verdict, LM("by"), event->process->comm);
 *     }
 *
 *     LM_FILTER(init, event)
 *
 * A text is a pointer and a length: UTF-8 without a NUL at its end. Data from the host, and memory from lm_alloc, lm_put and
 * the lookups, is valid until the call ends; do not free it. To keep data longer, use lm_keep or a static variable.
 *
 * The structs are the records of wit/v0.1/plugin.wit in the memory layout of the canonical ABI for wasm32. Nothing is copied
 * or converted. lightmon.c checks the layout at compile time. */
#ifndef LIGHTMON_H
#define LIGHTMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The same as in string.h. */
void *memcpy(void *restrict to, const void *restrict from, size_t len);
void *memmove(void *to, const void *from, size_t len);
void *memset(void *to, int byte, size_t len);
int memcmp(const void *one, const void *other, size_t len);

/* Texts */

typedef struct {
    const char *ptr;
    uint32_t len;
} lm_text;

/* Makes a text from a string literal: LM("service"). */
#define LM(literal) ((lm_text){"" literal, sizeof(literal) - 1})

lm_text lm_from_c(const char *text); /* from a string that ends with NUL */
bool lm_equal(lm_text a, lm_text b);
bool lm_starts_with(lm_text text, lm_text start);
bool lm_ends_with(lm_text text, lm_text end);
/* Removes the part before `separator` from `rest` and stores it in `part`. Without a separator, takes all of `rest`. Returns
 * false if `rest` is empty. */
bool lm_split(lm_text *rest, char separator, lm_text *part);
/* Truncates a text to at most `bytes`, at the end of a character. */
lm_text lm_cut(lm_text text, uint32_t bytes);
/* Parses a decimal number. Returns false if the text is not a number or exceeds UINT64_MAX. */
bool lm_to_u64(lm_text text, uint64_t *number);

/* Memory */

/* Allocate zeroed memory: lm_alloc until the call ends, lm_keep for the life of the instance. If memory runs out, the plugin
 * traps and the host creates a new instance. */
void *lm_alloc(size_t size);
void *lm_keep(size_t size);
lm_text lm_keep_text(lm_text text);

/* Builds a text piece by piece: lm_builder b = {0}; lm_put(&b, …); then use b.text. */
typedef struct {
    lm_text text;
    uint32_t capacity;
} lm_builder;

void lm_put(lm_builder *builder, lm_text text);
void lm_put_u64(lm_builder *builder, uint64_t number);

/* Events */

/* An address of 128 bits. An IPv4 address is IPv4-mapped (::ffff:192.0.2.1). */
typedef struct {
    uint64_t hi, lo;
} lm_ip;

bool lm_is_v4(lm_ip ip);
uint32_t lm_v4(lm_ip ip); /* 192.0.2.1 is 0xc0000201 */
/* Appends an address: 192.0.2.1, or 2001:db8::1 in the form of RFC 5952. */
void lm_put_ip(lm_builder *builder, lm_ip ip);
/* Appends an address and port: 192.0.2.1:443, [2001:db8::1]:443. */
void lm_put_address(lm_builder *builder, lm_ip ip, uint16_t port);

typedef struct {
    lm_text key, value;
} lm_pair;

/* Optional values. If `some` is 0, the value is absent and the other members are undefined. */
typedef struct {
    uint8_t some;
    lm_text value;
} lm_maybe_text;

typedef struct {
    uint8_t some;
    uint64_t value;
} lm_maybe_u64;

typedef struct {
    uint8_t some;
    const lm_text *list;
    uint32_t len;
} lm_maybe_texts;

typedef struct {
    uint8_t some;
    const lm_pair *list;
    uint32_t len;
} lm_maybe_pairs;

/* The value of a key; NULL if the key is absent. */
const lm_text *lm_find(const lm_maybe_pairs *pairs, lm_text key);

typedef struct {
    uint32_t pid;
    lm_text comm;
    lm_maybe_text path;
} lm_parent;

typedef struct {
    uint8_t some;
    const lm_parent *list;
    uint32_t len;
} lm_maybe_parents;

typedef struct {
    lm_text user; /* empty if the uid has no name */
    lm_text comm;
    lm_maybe_text path;
    lm_maybe_texts args;      /* LM_ARGS */
    lm_maybe_parents parents; /* LM_PARENTS; the nearest first */
} lm_process;

typedef struct {
    lm_text id, name, image; /* name and image are empty if no container runtime supplied them */
    lm_maybe_pairs labels;   /* LM_LABELS */
} lm_container;

typedef struct {
    uint64_t time_ns;        /* when the connection began: nanoseconds since 1970-01-01 UTC */
    lm_maybe_u64 latency_ns; /* time from the beginning of the connection to its outcome */
    lm_ip source, destination;
    uint32_t pid, tid, uid, gid;
    /* NULL if the plugin did not request the field; `container` is also NULL outside of containers. Events of the same process
     * or container have the same index. */
    const lm_process *process;
    uint32_t process_index;
    const lm_container *container;
    uint32_t container_index;
    lm_maybe_text dname;  /* LM_DNAME: the host name that was resolved to the destination address */
    lm_maybe_pairs tags;  /* LM_TAGS: tags set by earlier plugins */
    lm_maybe_pairs extra; /* LM_EXTRA: fields added after this version, such as `pod.name`; plugin.wit lists all keys */
    uint16_t source_port, destination_port;
    uint16_t error;   /* the Linux errno that the connection ended with; 0 if there was no error */
    uint8_t kind;     /* 1 connection; later versions may add kinds */
    uint8_t protocol; /* LM_TCP, LM_UDP or another IANA number */
    uint8_t outcome;  /* LM_ESTABLISHED …; later versions may add outcomes */
} lm_event;

enum { LM_TCP = 6, LM_UDP = 17 };

enum {
    LM_ESTABLISHED = 1,
    LM_CONNECTED,
    LM_REFUSED,
    LM_RESET,
    LM_TIMED_OUT,
    LM_UNREACHABLE,
    LM_DENIED,
    LM_ADDRESS_UNAVAILABLE,
    LM_ABORTED,
    LM_FAILED,
    LM_PENDING,
    LM_SENT,
};

/* The word for an outcome, such as `timed-out`; `unknown` for a number that this version does not know. */
lm_text lm_outcome_word(uint8_t outcome);
/* `tcp`, `udp`, or the number. */
lm_text lm_protocol_word(uint8_t protocol);

/* Settings */

typedef enum { LM_IS_TEXT, LM_IS_NUMBER, LM_IS_BOOL, LM_IS_NULL, LM_IS_LIST, LM_IS_OBJECT } lm_kind;

typedef struct {
    lm_text key;
    lm_kind kind;
    lm_text value; /* LM_IS_TEXT: the text without quotes and escapes; otherwise JSON */
} lm_setting;

/* Reads the next setting and removes it from `settings`, the JSON object that init receives. Returns false at the end. */
bool lm_next_setting(lm_text *settings, lm_setting *setting);
/* Read the value as a number or a bool. Text is accepted too, because values from the command line are text. Return false if
 * the value has another type. */
bool lm_setting_u64(const lm_setting *setting, uint64_t *number);
bool lm_setting_bool(const lm_setting *setting, bool *yes);
/* Reads the next item of a list of texts and removes it from `list`. A list is ["a", "b"] in the configuration file and a+b
 * on the command line. Returns false at the end. */
bool lm_next_item(lm_setting *list, lm_text *item);

/* What a plugin requests from the host, or the reason why it cannot start. */
typedef struct {
    uint32_t needs;    /* LM_PROCESS | … */
    lm_text when;         /* exclude expression; the plugin receives only events that match it. Empty: all events */
    lm_text error;        /* if not empty, init fails with this text */
    const uint8_t *kinds; /* supported kinds of events; NULL: connections only */
    uint32_t kinds_len;
} lm_setup;

enum {
    LM_PROCESS = 1,    /* event->process, with user, comm and path */
    LM_ARGS = 2,       /* process->args */
    LM_PARENTS = 4,    /* process->parents */
    LM_CONTAINER = 8,  /* event->container, with id, name and image */
    LM_LABELS = 16,    /* container->labels */
    LM_TAGS = 32,      /* event->tags */
    LM_DNAME = 64,     /* event->dname */
    LM_EXTRA = 128,    /* event->extra */
};

lm_setup lm_fail(lm_text error);
lm_setup lm_unknown(const lm_setting *setting);               /* fails with: unknown setting `KEY` */
lm_setup lm_bad(const lm_setting *setting, lm_text expected); /* fails with: setting `KEY`: expected … */

/* Verdicts. An event passes unchanged unless one of these functions is called. */

typedef struct lm_verdict lm_verdict;

void lm_drop(lm_verdict *verdict);
void lm_tag(lm_verdict *verdict, lm_text key, lm_text value);
/* Replaces a field: `user`, `comm`, `path`, `args/N`, `container`, `image`, `labels/KEY`, `tags/KEY`. */
void lm_set(lm_verdict *verdict, lm_text field, lm_text text);
void lm_line(lm_verdict *verdict, lm_text text);

/* Reports, from tick and stop */

typedef struct lm_reports lm_reports;

/* Starts a report. Later calls of lm_field add fields to it. */
void lm_report(lm_reports *reports, lm_text name);
void lm_field(lm_reports *reports, lm_text key, lm_text value);

/* Functions of the host. A plugin imports only those that it calls. */

enum { LM_ERROR = 1, LM_WARNING, LM_INFO, LM_DEBUG };

void lm_log(uint8_t level, lm_text text);
void lm_count(lm_text counter, uint64_t delta);
bool lm_kv_get(lm_text key, lm_text *value);
bool lm_kv_set(lm_text key, lm_text value); /* false if the store is full */
void lm_kv_delete(lm_text key);
/* Opens a granted table. If `column` is empty, a lookup returns the whole entry as JSON. On failure returns false and sets
 * `error`. */
bool lm_table_open(lm_text name, lm_text column, uint32_t *table, lm_text *error);
/* Return one entry for each address or name. One call for a whole batch is faster than many calls. */
const lm_maybe_text *lm_table_ips(uint32_t table, const lm_ip *addresses, uint32_t len);
const lm_maybe_text *lm_table_names(uint32_t table, const lm_text *names, uint32_t len);

/* Register the plugin. Use LM_FILTER or LM_FILTER_BATCH once, and LM_TICK and LM_STOP if needed, at the end of the file and
 * without `;`. */

typedef struct {
    const lm_event *events;
    uint32_t len;
} lm_batch;

/* The verdict on the event with this index in the batch. */
lm_verdict *lm_verdict_of(uint32_t event);

/* `event` is called for each event: void event(const lm_event *event, lm_verdict *verdict). */
#define LM_FILTER(init, event)                                                                                         \
    static void lm_each_event_(const lm_batch *batch) {                                                                      \
        for (uint32_t i = 0; i < batch->len; i++)                                                                      \
            event(&batch->events[i], lm_verdict_of(i));                                                                \
    }                                                                                                                  \
    LM_FILTER_BATCH(init, lm_each_event_)

/* `batch` is called for each batch: void batch(const lm_batch *batch). */
#define LM_FILTER_BATCH(init, batch)                                                                                   \
    lm_setup lm_init_(lm_text settings) { return init(settings); }                                                     \
    void lm_batch_(const lm_batch *events) { batch(events); }

/* `tick` is called every `period` milliseconds: void tick(uint64_t now_ns, lm_reports *reports). `period` may be any
 * expression. */
#define LM_TICK(period, tick)                                                                                          \
    LM_EXPORT_("lightmon:plugin/tick@0.1.0#period") uint32_t lm_export_period_(void) { return (period); }             \
    LM_EXPORT_("lightmon:plugin/tick@0.1.0#tick") void *lm_export_tick_(uint64_t now_ns) {                             \
        return lm_collect_reports_(tick, now_ns);                                                                             \
    }                                                                                                                  \
    LM_EXPORT_("cabi_post_lightmon:plugin/tick@0.1.0#tick") void lm_export_post_tick_(void *answer) {                  \
        lm_end_call_(answer);                                                                                         \
    }

/* `stop` is called at the end: void stop(uint64_t now_ns, lm_reports *reports). */
#define LM_STOP(stop)                                                                                                  \
    LM_EXPORT_("lightmon:plugin/stop@0.1.0#stop") void *lm_export_stop_(uint64_t now_ns) {                             \
        return lm_collect_reports_(stop, now_ns);                                                                             \
    }                                                                                                                  \
    LM_EXPORT_("cabi_post_lightmon:plugin/stop@0.1.0#stop") void lm_export_post_stop_(void *answer) {                  \
        lm_end_call_(answer);                                                                                         \
    }

/* Used by the macros above. */
#define LM_EXPORT_(name) __attribute__((export_name(name)))
lm_setup lm_init_(lm_text settings);
void lm_batch_(const lm_batch *batch);
void *lm_collect_reports_(void (*collect)(uint64_t now_ns, lm_reports *reports), uint64_t now_ns);
void lm_end_call_(void *answer);

#endif
