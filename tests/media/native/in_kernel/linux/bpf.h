/* What media/native/bpf/kernel_relay.c uses of the kernel's header, for a program on the host: pointers are whole there. */
#ifndef IN_KERNEL_LINUX_BPF_H
#define IN_KERNEL_LINUX_BPF_H

#define BPF_MAP_TYPE_ARRAY 2
#define BPF_MAP_TYPE_ARRAY_OF_MAPS 13
#define BPF_MAP_TYPE_RINGBUF 27
#define BPF_RB_NO_WAKEUP 1
#define BPF_F_MMAPABLE 1024
#define BPF_F_PSEUDO_HDR 16
#define BPF_F_MARK_MANGLED_0 32

struct __sk_buff {
    uint32_t len, pkt_type, protocol, vlan_present, ifindex, priority;
    uint64_t data, data_end;
};

#endif
