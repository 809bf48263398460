/* As libbpf's, on a host of either kind. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define bpf_htons(value) __builtin_bswap16(value)
#define bpf_htonl(value) __builtin_bswap32(value)
#else
#define bpf_htons(value) ((uint16_t)(value))
#define bpf_htonl(value) ((uint32_t)(value))
#endif
#define bpf_ntohs bpf_htons
#define bpf_ntohl bpf_htonl
