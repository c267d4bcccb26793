/* uml-xstate: let user-mode Linux run on a processor whose register state is larger than it knows.
 *
 * linux.uml keeps the vector registers of its processes by PTRACE_GETREGSET and PTRACE_SETREGSET of
 * NT_X86_XSTATE, with a buffer of a fixed size.  The host kernel cuts a GETREGSET short, but refuses a
 * SETREGSET that is not of the processor's full size (EFAULT): on processors with AMX (11 008 bytes) the
 * guest dies at its first process with "ptrace set fp regs failed, errno = 14".
 *
 * Preloaded into linux.uml, this stands between the two: a short SETREGSET becomes a full one whose
 * tail is what the process has.  The tail is never in use: AMX must be asked for with arch_prctl, which
 * the guest's kernel does not offer.  Where the sizes agree nothing changes.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif

enum { LARGEST_XSTATE = 65536 };

long ptrace(enum __ptrace_request request, ...)
{
    static _Alignas(64) unsigned char full[LARGEST_XSTATE]; /* linux.uml's kernel is one thread */
    va_list args;
    va_start(args, request);
    pid_t pid = va_arg(args, pid_t);
    void *addr = va_arg(args, void *);
    void *data = va_arg(args, void *);
    va_end(args);

    if (request == PTRACE_SETREGSET && (unsigned long)addr == NT_X86_XSTATE) {
        struct iovec *given = data;
        struct iovec whole = {full, sizeof full};
        if (syscall(SYS_ptrace, (long)PTRACE_GETREGSET, pid, addr, &whole) == 0 &&
            whole.iov_len > given->iov_len) {
            memcpy(full, given->iov_base, given->iov_len);
            return syscall(SYS_ptrace, (long)request, pid, addr, &whole);
        }
    }
    if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER) {
        long word;  /* the C library's form: the word is the result, not stored at `data` */
        long failed = syscall(SYS_ptrace, (long)request, pid, addr, &word);
        if (failed < 0)
            return -1;
        errno = 0;
        return word;
    }
    return syscall(SYS_ptrace, (long)request, pid, addr, data);
}
