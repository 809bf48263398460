/* The kernel's part of the relay in a test program: media/native/bpf/kernel_relay.c, compiled for the host. */
#ifndef KERNEL_PROGRAM_H
#define KERNEL_PROGRAM_H

#define PROGRAM_NEXT (-1) /* left to the socket */
#define PROGRAM_PASS 0
#define PROGRAM_REDIRECT 7

struct kernel_flow;

/* A frame as it comes by an interface; `odd` in turn: addressed to another machine, by VLAN, in two pieces of memory. */
struct frame {
    unsigned char *data;
    unsigned length, interface;
    int elsewhere, tagged, scattered;
    long long now;
    unsigned left_by, priority; /* told: where it was sent on */
};

/* Memory of the fake kernel's maps. */
void program_load(unsigned long *ports, struct kernel_flow *flows, unsigned streams);
int program_run(struct frame *frame);
/* The ring of copies: how many it has room for, and what waits in it. */
extern unsigned program_ring_room;
void program_read_ring(int (*reader)(void *, void *, unsigned long), void *whose);
/* Only what is between taking a stream and leaving it: a packet that is the next. False: it was not to be had. */
int program_count(struct kernel_flow *flow, unsigned length, long long now);

#endif
