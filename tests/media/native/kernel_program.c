/* The program that the kernel would run, with a kernel of a few lines. Checksums are those of a card that makes none. */
#define __bpf__
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#include "../../../media/native/bpf/kernel_relay.c"

#include "kernel_program.h"

#define RING 4096

static unsigned long *program_ports;
static struct kernel_flow *program_flows;
static unsigned program_streams;
static struct frame *present;
static struct kernel_copy waiting[RING], *reserved;
static unsigned waiting_count;
unsigned program_ring_room = RING;

void program_load(unsigned long *at, struct kernel_flow *records, unsigned streams)
{
    program_ports = at;
    program_flows = records;
    program_streams = streams;
}

void *bpf_map_lookup_elem(const void *map, const void *key)
{
    uint32_t index = *(const uint32_t *)key;
    if (map == (const void *)&ports)
        return index < KERNEL_RELAY_PORTS ? (void *)&program_ports[index] : 0;
    if (map == (const void *)&copies)
        return index ? 0 : waiting;
    return index < program_streams ? (void *)&program_flows[index] : 0;
}

long bpf_skb_pull_data(struct __sk_buff *skb, uint32_t length)
{
    if (length > present->length)
        return -1;
    skb->data_end = skb->data + present->length;
    return 0;
}

uint64_t bpf_ktime_get_ns(void)
{
    return (uint64_t)present->now;
}

static uint32_t fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint32_t)sum;
}

/* RFC 1624: ones' complement sums of 16-bit words, as they lie in memory. */
int64_t bpf_csum_diff(const void *from, uint32_t from_size, const void *to, uint32_t to_size, uint32_t seed)
{
    uint64_t sum = seed;
    for (uint32_t i = 0; i < from_size / 2; i++)
        sum += 0xFFFFu ^ ((const word *)from)[i];
    for (uint32_t i = 0; i < to_size / 2; i++)
        sum += ((const word *)to)[i];
    return fold(sum);
}

long bpf_l4_csum_replace(struct __sk_buff *skb, uint32_t offset, uint64_t from, uint64_t to, uint64_t flags)
{
    word *field = (word *)(skb->data + offset);
    if (from || !*field)
        return flags & BPF_F_MARK_MANGLED_0 && !from ? 0 : -1;
    *field = (uint16_t)~fold((uint16_t)~*field + to);
    if (!*field)
        *field = 0xFFFF;
    return 0;
}

long bpf_skb_load_bytes(const struct __sk_buff *skb, uint32_t offset, void *to, uint32_t length)
{
    if (offset + length > present->length)
        return -1;
    __builtin_memcpy(to, (const uint8_t *)skb->data + offset, length);
    return 0;
}

void *bpf_ringbuf_reserve(void *ring, uint64_t size, uint64_t flags)
{
    if (ring != waiting || size != sizeof *reserved || flags || waiting_count >= program_ring_room || reserved)
        return 0;
    return reserved = &waiting[waiting_count];
}

void bpf_ringbuf_submit(void *room, uint64_t flags)
{
    waiting_count += room == reserved && flags == BPF_RB_NO_WAKEUP;
    reserved = 0;
}

void bpf_ringbuf_discard(void *room, uint64_t flags)
{
    if (room == reserved && flags == BPF_RB_NO_WAKEUP)
        reserved = 0;
}

void program_read_ring(int (*reader)(void *, void *, unsigned long), void *whose)
{
    for (unsigned i = 0; i < waiting_count; i++)
        reader(whose, &waiting[i], sizeof waiting[i]);
    waiting_count = 0;
}

long bpf_redirect_neigh(uint32_t interface, const void *next, int size, uint64_t flags)
{
    present->left_by = interface;
    return next || size || flags ? DROP : PROGRAM_REDIRECT;
}

int program_run(struct frame *frame)
{
    struct __sk_buff skb = {.len = frame->length, .pkt_type = frame->elsewhere ? 3 : 0, .protocol = bpf_htons(IPV4),
                            .vlan_present = frame->tagged != 0, .ifindex = frame->interface};
    skb.data = (uint64_t)frame->data;
    skb.data_end = skb.data + (frame->scattered ? 20 : frame->length);
    present = frame;
    int verdict = pass_on(&skb);
    frame->priority = skb.priority;
    return verdict;
}

int program_count(struct kernel_flow *flow, unsigned length, long long now)
{
    if (__sync_val_compare_and_swap(&flow->state, KERNEL_RELAY_ACTIVE, KERNEL_RELAY_ACTIVE | KERNEL_RELAY_BUSY)
        != KERNEL_RELAY_ACTIVE)
        return 0;
    count(flow, flow->timestamp + length, 1, now);
    release(flow, KERNEL_RELAY_BUSY);
    return 1;
}
