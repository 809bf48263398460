/* Gives the kernel the program of bpf/kernel_relay.c, and attaches it where calls can come in. */
#include "kernel_relay.h"

#include <stdio.h>
#include <stdlib.h>

#ifdef HAVE_KERNEL_RELAY

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel_relay_program.h"

#define TCX_INGRESS 46 /* BPF_TCX_INGRESS, which Debian 12's headers lack */
#define MAX_LINKS 64

static const char *reason(int error)
{
    if (error == EPERM || error == EACCES)
        return "not permitted: it needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON";
    if (error == EINVAL || error == ENOSYS || error == EOPNOTSUPP)
        return "this kernel can't: it needs Linux 6.6";
    return strerror(error);
}

/* NULL where it can't be mapped. */
static void *map_shared(struct bpf_object *object, const char *name, size_t size)
{
    struct bpf_map *map = bpf_object__find_map_by_name(object, name);
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static size_t flows_size(const struct kernel_relay *relay)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = relay->streams * sizeof(struct kernel_flow);
    return (size + page - 1) / page * page;
}

/* Only there does a packet begin as the program expects. */
static bool has_ethernet(const char *name)
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    bool known = fd >= 0 && !ioctl(fd, SIOCGIFHWADDR, &request);
    if (fd >= 0)
        close(fd);
    return known && (request.ifr_hwaddr.sa_family == ARPHRD_ETHER || request.ifr_hwaddr.sa_family == ARPHRD_LOOPBACK);
}

/* All that have an IPv4 address; how many of them took it. */
static int attach(struct kernel_relay *relay, int program)
{
    unsigned int seen[MAX_LINKS], count = 0;
    struct ifaddrs *addresses = NULL;
    if (getifaddrs(&addresses))
        return 0;
    for (const struct ifaddrs *one = addresses; one && count < MAX_LINKS; one = one->ifa_next) {
        unsigned int index = if_nametoindex(one->ifa_name);
        bool fresh = index && one->ifa_addr && one->ifa_addr->sa_family == AF_INET && has_ethernet(one->ifa_name);
        for (unsigned int i = 0; fresh && i < count; i++)
            fresh = seen[i] != index;
        if (!fresh)
            continue;
        seen[count++] = index;
        int link = bpf_link_create(program, (int)index, TCX_INGRESS, NULL);
        if (link >= 0)
            relay->links[relay->links_count++] = link;
    }
    freeifaddrs(addresses);
    return relay->links_count;
}

/* A ring a worker, which only that one reads. */
static bool make_rings(struct kernel_relay *relay, int copies, uint32_t workers)
{
    for (uint32_t i = 0; i < workers; i++) {
        int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, NULL, 0, 0, KERNEL_RELAY_RING, NULL);
        if (fd < 0 || bpf_map_update_elem(copies, &i, &fd, BPF_ANY)) {
            if (fd >= 0)
                close(fd);
            return false;
        }
        relay->rings[relay->rings_count++] = fd;
    }
    return true;
}

static bool load(struct kernel_relay *relay, uint32_t workers)
{
    struct bpf_object *object = bpf_object__open_mem(kernel_relay_program, sizeof kernel_relay_program, NULL);
    if (!object)
        return false;
    relay->object = object;
    struct bpf_map *copies = bpf_object__find_map_by_name(object, "copies");
    return !bpf_map__set_max_entries(bpf_object__find_map_by_name(object, "flows"), relay->streams)
           && !bpf_map__set_max_entries(copies, workers) && !bpf_object__load(object)
           && make_rings(relay, bpf_map__fd(copies), workers)
           && (relay->ports = map_shared(object, "ports", KERNEL_RELAY_PORTS * sizeof *relay->ports))
           && (relay->flows = map_shared(object, "flows", flows_size(relay)))
           && attach(relay, bpf_program__fd(bpf_object__find_program_by_name(object, "pass_on")));
}

void kernel_relay_detach(struct kernel_relay *relay)
{
    while (relay->links_count)
        close(relay->links[--relay->links_count]);
}

void kernel_relay_close(struct kernel_relay *relay)
{
    kernel_relay_detach(relay);
    while (relay->rings_count)
        close(relay->rings[--relay->rings_count]);
    if (relay->ports)
        munmap(relay->ports, KERNEL_RELAY_PORTS * sizeof *relay->ports);
    if (relay->flows)
        munmap(relay->flows, flows_size(relay));
    bpf_object__close(relay->object);
    free(relay->links);
    free(relay->rings);
    free(relay);
}

struct kernel_relay *kernel_relay_open(uint32_t streams, uint32_t workers, char *why, uint32_t size)
{
    struct kernel_relay *relay = calloc(1, sizeof *relay);
    libbpf_set_print(NULL); /* it would write to standard error */
    if (relay) {
        relay->streams = streams;
        relay->links = calloc(MAX_LINKS, sizeof *relay->links);
        relay->rings = calloc(workers, sizeof *relay->rings);
        if (relay->links && relay->rings && load(relay, workers))
            return relay;
    }
    snprintf(why, size, "%s", reason(errno));
    if (relay)
        kernel_relay_close(relay);
    return NULL;
}

void *kernel_relay_open_ring(const struct kernel_relay *relay, uint32_t number, struct worker *worker)
{
    return ring_buffer__new(relay->rings[number], kernel_relay_copy, worker, NULL);
}

void kernel_relay_close_ring(void *copies)
{
    ring_buffer__free(copies);
}

void kernel_relay_read_ring(void *copies)
{
    ring_buffer__consume(copies);
}

#else

void kernel_relay_detach(struct kernel_relay *relay)
{
    (void)relay;
}

void kernel_relay_close(struct kernel_relay *relay)
{
    (void)relay;
}

struct kernel_relay *kernel_relay_open(uint32_t streams, uint32_t workers, char *why, uint32_t size)
{
    (void)streams;
    (void)workers;
    snprintf(why, size, "this build lacks it: clang or libbpf was missing");
    return NULL;
}

void *kernel_relay_open_ring(const struct kernel_relay *relay, uint32_t number, struct worker *worker)
{
    (void)relay;
    (void)number;
    (void)worker;
    return NULL;
}

void kernel_relay_close_ring(void *copies)
{
    (void)copies;
}

void kernel_relay_read_ring(void *copies)
{
    (void)copies;
}

#endif
