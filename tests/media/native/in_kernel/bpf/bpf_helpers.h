/* As libbpf's, on the host: kernel_program.c is the kernel. */
#define SEC(name) __attribute__((used))
#define __uint(name, value) int(*name)[value]
#define __type(name, value) typeof(value) *name
#define __array(name, kind) typeof(kind) *name[]
#undef __always_inline
#define __always_inline inline

void *bpf_map_lookup_elem(const void *map, const void *key);
long bpf_skb_pull_data(struct __sk_buff *skb, uint32_t length);
uint64_t bpf_ktime_get_ns(void);
int64_t bpf_csum_diff(const void *from, uint32_t from_size, const void *to, uint32_t to_size, uint32_t seed);
long bpf_l4_csum_replace(struct __sk_buff *skb, uint32_t offset, uint64_t from, uint64_t to, uint64_t flags);
long bpf_skb_load_bytes(const struct __sk_buff *skb, uint32_t offset, void *to, uint32_t length);
void *bpf_ringbuf_reserve(void *ring, uint64_t size, uint64_t flags);
void bpf_ringbuf_submit(void *room, uint64_t flags);
void bpf_ringbuf_discard(void *room, uint64_t flags);
long bpf_redirect_neigh(uint32_t interface, const void *next, int size, uint64_t flags);
