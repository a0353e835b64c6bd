/* Lets user-mode Linux 6.1 run on processors with AMX.
 *
 * UML keeps its processes' vector registers in 2696 octets and hands them back
 * with PTRACE_SETREGSET(NT_X86_XSTATE). Since AMX the host's full state is
 * 11 KiB, and the host refuses a shorter one with EFAULT: every process in the
 * guest dies before its first instruction. This library, preloaded into
 * linux.uml, fills the state up to its full length with zeros. That changes
 * nothing: the header at octet 512 names the parts that are present, and AMX
 * tiles are never among them, because no program may use them without asking
 * the kernel, and UML's does not know the question.
 *
 * tests/lab/setup.sh compiles it where the processor needs it. Nothing is
 * included, so that the smallest compiler (tcc, without libc's headers) will do.
 */

enum { PTRACE_GETREGSET = 0x4204, PTRACE_SETREGSET = 0x4205, NT_X86_XSTATE = 0x202, LARGEST = 65536 };

struct iovec { void *base; unsigned long length; };

extern void *dlsym(void *, const char *);
extern void *memcpy(void *, const void *, unsigned long);
#define RTLD_NEXT ((void *)-1L)

static unsigned char whole[LARGEST] __attribute__((aligned(64)));
static unsigned long whole_length;

long ptrace(int request, int pid, void *what, void *data)
{
    static long (*real)(int, int, void *, void *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "ptrace");
    if (request != PTRACE_SETREGSET || (long)what != NT_X86_XSTATE)
        return real(request, pid, what, data);

    struct iovec *given = data;
    if (!whole_length) {
        unsigned long i;
        struct iovec probe = { whole, LARGEST };
        if (real(PTRACE_GETREGSET, pid, what, &probe) < 0)
            return -1;
        whole_length = probe.length;
        for (i = 0; i < LARGEST; i++)
            whole[i] = 0;
    }
    if (given->length >= whole_length)
        return real(request, pid, what, data);
    memcpy(whole, given->base, given->length);
    struct iovec full = { whole, whole_length };
    return real(request, pid, what, &full);
}
