// The seed of the target `btf`: type information as compilers write it, nested the way kernels nest it. Made with
//   clang-22 --target=bpf -g -O1 -fdebug-compilation-dir=. -c btf.c -o btf.o &&
//   llvm-objcopy-22 --dump-section .BTF=seeds/btf/clang btf.o
struct dentry;
struct vfsmount { struct dentry *mnt_root; };
struct qstr { union { struct { unsigned hash, len; }; unsigned long long hash_len; }; const unsigned char *name; };
struct dentry { unsigned d_flags; struct dentry *d_parent; struct qstr d_name; };
struct path { struct vfsmount *mnt; struct dentry *dentry; };
struct file { unsigned f_mode : 3; const struct path f_path; void *private_data; };
typedef int pid_t;
struct task_struct {
    pid_t tgid;
    struct task_struct *group_leader, *real_parent;
    struct { union { volatile unsigned long long start_boottime; long other; }; } ;
    enum { A, B = 7 } kind;
    int (*function)(int, ...);
    char comm[16];
};
struct sock_common { union { unsigned long long skc_addrpair; struct { unsigned skc_daddr, skc_rcv_saddr; }; }; unsigned short skc_family; };
struct sock { struct sock_common __sk_common; int sk_err; unsigned sk_padding : 1, sk_kern_sock : 1; unsigned short sk_protocol; };
struct dentry dentry; struct vfsmount vfsmount; struct task_struct task; struct file file; struct sock sock;
int f(struct task_struct *t) { return t->tgid; }
