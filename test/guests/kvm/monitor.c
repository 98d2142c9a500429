/*
 * A virtual machine monitor without a library: a machine of KVM with two vCPUs and a vGICv2, which runs guest.S and prints what that reports.
 * Numbers and layouts are those of Linux's user interface for KVM on arm64.
 */

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;

enum { SYS_IOCTL = 29, SYS_OPENAT = 56, SYS_WRITE = 64, SYS_EXIT_GROUP = 94, SYS_CLONE = 220, SYS_MMAP = 222 };
enum { O_RDWR = 2, PROT_READ_WRITE = 3, MAP_SHARED = 1, MAP_ANONYMOUS = 0x20, EINTR = 4 };
/* CLONE_VM, FS, FILES, SIGHAND, THREAD and SYSVSEM: a thread. */
enum { CLONE_THREAD_FLAGS = 0x50f00 };
enum {
	KVM_CREATE_VM = 0xae01, KVM_GET_VCPU_MMAP_SIZE = 0xae04, KVM_CREATE_VCPU = 0xae41, KVM_RUN = 0xae80,
	KVM_SET_USER_MEMORY_REGION = 0x4020ae46, KVM_SET_ONE_REG = 0x4010aeac, KVM_ARM_VCPU_INIT = 0x4020aeae, KVM_SET_DEVICE_ATTR = 0x4018aee1,
};
#define KVM_ARM_PREFERRED_TARGET 0x8020aeaful
#define KVM_CREATE_DEVICE 0xc00caee0ul
#define REG_PC 0x6030000000100040ul
enum { VGIC_V2 = 5, GRP_ADDR = 0, ADDR_DIST = 0, ADDR_CPU = 1, GRP_CTRL = 4, CTRL_INIT = 0 };
enum { FEATURE_POWER_OFF = 1 << 0, FEATURE_PSCI_0_2 = 1 << 2 };
enum { EXIT_MMIO = 6, EXIT_SYSTEM_EVENT = 24 };

struct region { u32 slot, flags; u64 guest, bytes, user; };
struct init { u32 target, features[7]; };
struct device { u32 type, fd, flags; };
struct attribute { u32 flags, group; u64 attribute, address; };
struct one_register { u64 id, address; };
/* The head of struct kvm_run; a system event's type lies where `address` does. */
struct run { u8 request[8]; u32 reason; u8 more[20]; u64 address; u8 data[8]; u32 bytes; u8 write; };

#define RAM 0x40000000ul
#define RAM_BYTES 0x200000ul
#define REPORT 0x10000000ul

extern u8 guest_begin[], guest_end[];
static long vcpus[2];
static struct run *runs[2];

static long call(long number, long a, long b, long c, long d, long e, long f)
{
	register long x8 asm("x8") = number, x0 asm("x0") = a, x1 asm("x1") = b, x2 asm("x2") = c, x3 asm("x3") = d, x4 asm("x4") = e, x5 asm("x5") = f;
	asm volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
}

/* `word` and a hexadecimal number, on a line of their own. */
static void print(const char *word, u64 value)
{
	char line[64];
	long length = 0;
	int digits = 1;

	for (; *word; word++) line[length++] = *word;
	line[length++] = ' ';
	while (digits < 16 && value >> (4 * digits)) digits++;
	while (digits-- > 0) line[length++] = "0123456789abcdef"[(value >> (4 * digits)) & 15];
	line[length++] = '\n';
	call(SYS_WRITE, 1, (long)line, length, 0, 0, 0);
}

static void end(int status)
{
	for (;;) call(SYS_EXIT_GROUP, status, 0, 0, 0, 0, 0);
}

static long checked(const char *what, long result)
{
	if (result >= 0) return result;
	print(what, -result);
	end(1);
	return result;
}

static long control(const char *what, long fd, u64 request, void *argument)
{
	return checked(what, call(SYS_IOCTL, fd, request, (long)argument, 0, 0, 0));
}

static void set_attribute(long fd, u32 group, u64 number, void *value)
{
	struct attribute attribute = { 0, group, number, (u64)value };

	control("vgic-attribute-failed", fd, KVM_SET_DEVICE_ATTR, &attribute);
}

__attribute__((used)) static void run_vcpu(long index)
{
	struct run *run = runs[index];

	for (;;) {
		long result = call(SYS_IOCTL, vcpus[index], KVM_RUN, 0, 0, 0, 0);

		if (result == -EINTR) continue;
		checked("run-failed", result);
		if (run->reason == EXIT_MMIO && run->write && run->address == REPORT) print("report", *(u32 *)run->data);
		else if (run->reason == EXIT_SYSTEM_EVENT) { print("system-event", (u32)run->address); end(0); }
		else { print("unexpected-exit", run->reason); end(1); }
	}
}

static u8 stack[0x4000] __attribute__((aligned(16)));

/* vCPU 1 runs in a thread of its own. */
static void start_thread(void)
{
	register long x8 asm("x8") = SYS_CLONE, x0 asm("x0") = CLONE_THREAD_FLAGS, x1 asm("x1") = (long)(stack + sizeof(stack)), x2 asm("x2") = 0, x3 asm("x3") = 0, x4 asm("x4") = 0;

	asm volatile("svc #0\n\tcbnz x0, 1f\n\tmov x0, #1\n\tb run_vcpu\n1:" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
	checked("clone-failed", x0);
}

void _start(void)
{
	long kvm = checked("open-failed", call(SYS_OPENAT, -100, (long)"/dev/kvm", O_RDWR, 0, 0, 0));
	long machine = control("create-vm-failed", kvm, KVM_CREATE_VM, 0);
	long bytes = control("mmap-size-failed", kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	u8 *ram = (u8 *)checked("mmap-failed", call(SYS_MMAP, 0, RAM_BYTES, PROT_READ_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	struct region region = { 0, 0, RAM, RAM_BYTES, (u64)ram };
	struct device vgic = { VGIC_V2, 0, 0 };
	u64 distributor = 0x08000000, interface = 0x08010000, pc = RAM;
	struct one_register program_counter = { REG_PC, (u64)&pc };
	long index;

	for (index = 0; index < guest_end - guest_begin; index++) ((volatile u8 *)ram)[index] = guest_begin[index];
	control("memory-region-failed", machine, KVM_SET_USER_MEMORY_REGION, &region);
	for (index = 0; index < 2; index++) {
		vcpus[index] = control("create-vcpu-failed", machine, KVM_CREATE_VCPU, (void *)index);
		runs[index] = (struct run *)checked("mmap-vcpu-failed", call(SYS_MMAP, 0, bytes, PROT_READ_WRITE, MAP_SHARED, vcpus[index], 0));
	}
	control("create-vgic-failed", machine, KVM_CREATE_DEVICE, &vgic);
	set_attribute(vgic.fd, GRP_ADDR, ADDR_DIST, &distributor);
	set_attribute(vgic.fd, GRP_ADDR, ADDR_CPU, &interface);
	for (index = 0; index < 2; index++) {
		struct init init;

		control("preferred-target-failed", machine, KVM_ARM_PREFERRED_TARGET, &init);
		init.features[0] = FEATURE_PSCI_0_2 | (index == 0 ? 0 : FEATURE_POWER_OFF);
		control("vcpu-init-failed", vcpus[index], KVM_ARM_VCPU_INIT, &init);
	}
	set_attribute(vgic.fd, GRP_CTRL, CTRL_INIT, 0);
	control("set-pc-failed", vcpus[0], KVM_SET_ONE_REG, &program_counter);
	start_thread();
	run_vcpu(0);
}
