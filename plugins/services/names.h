/* The table of service names. */
#ifndef NAMES_H
#define NAMES_H

typedef struct {
    unsigned short port;
    unsigned char transports; /* 1 TCP, 2 UDP, 3 both */
    const char *name;
} service_name;

extern const service_name service_names[];
extern const unsigned service_names_len;

#endif
