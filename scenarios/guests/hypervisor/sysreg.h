/* System registers: reading and writing by name, names the assembler lacks at armv8-a, and the fields used here. */
#ifndef SYSREG_H
#define SYSREG_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define read_sysreg(name) ({ u64 value_; asm volatile("mrs %0, " TEXT(name) : "=r"(value_)); value_; })
#define write_sysreg(name, value) asm volatile("msr " TEXT(name) ", %x0" : : "rZ"((u64)(value)) : "memory")
#define isb() asm volatile("isb" : : : "memory")
#define dsb(domain) asm volatile("dsb " #domain : : : "memory")

/* VHE's names of the guest's EL1 registers: op1 = 5. */
#define SCTLR_EL12      S3_5_C1_C0_0
#define CPACR_EL12      S3_5_C1_C0_2
#define TTBR0_EL12      S3_5_C2_C0_0
#define TTBR1_EL12      S3_5_C2_C0_1
#define TCR_EL12        S3_5_C2_C0_2
#define SPSR_EL12       S3_5_C4_C0_0
#define ELR_EL12        S3_5_C4_C0_1
#define AFSR0_EL12      S3_5_C5_C1_0
#define AFSR1_EL12      S3_5_C5_C1_1
#define ESR_EL12        S3_5_C5_C2_0
#define FAR_EL12        S3_5_C6_C0_0
#define MAIR_EL12       S3_5_C10_C2_0
#define AMAIR_EL12      S3_5_C10_C3_0
#define VBAR_EL12       S3_5_C12_C0_0
#define CONTEXTIDR_EL12 S3_5_C13_C0_1
#define CNTKCTL_EL12    S3_5_C14_C1_0
#define CNTP_CTL_EL02   S3_5_C14_C2_1
#define CNTP_CVAL_EL02  S3_5_C14_C2_2
#define CNTV_CTL_EL02   S3_5_C14_C3_1
#define CNTV_CVAL_EL02  S3_5_C14_C3_2

#define ID_AA64MMFR4_EL1 S3_0_C0_C7_4

#define ICC_PMR_EL1     S3_0_C4_C6_0
#define ICC_DIR_EL1     S3_0_C12_C11_1
#define ICC_SGI1R_EL1   S3_0_C12_C11_5
#define ICC_IAR1_EL1    S3_0_C12_C12_0
#define ICC_EOIR1_EL1   S3_0_C12_C12_1
#define ICC_CTLR_EL1    S3_0_C12_C12_4
#define ICC_SRE_EL2     S3_4_C12_C9_5
#define ICC_IGRPEN1_EL1 S3_0_C12_C12_7

#define ICH_AP0R0_EL2   S3_4_C12_C8_0
#define ICH_AP1R0_EL2   S3_4_C12_C9_0
#define ICH_HCR_EL2     S3_4_C12_C11_0
#define ICH_VTR_EL2     S3_4_C12_C11_1
#define ICH_MISR_EL2    S3_4_C12_C11_2
#define ICH_EISR_EL2    S3_4_C12_C11_3
#define ICH_ELRSR_EL2   S3_4_C12_C11_5
#define ICH_VMCR_EL2    S3_4_C12_C11_7
#define ICH_LR0_EL2     S3_4_C12_C12_0
#define ICH_LR1_EL2     S3_4_C12_C12_1
#define ICH_LR2_EL2     S3_4_C12_C12_2
#define ICH_LR3_EL2     S3_4_C12_C12_3
#define ICH_LR4_EL2     S3_4_C12_C12_4
#define ICH_LR5_EL2     S3_4_C12_C12_5
#define ICH_LR6_EL2     S3_4_C12_C12_6
#define ICH_LR7_EL2     S3_4_C12_C12_7
#define ICH_LR8_EL2     S3_4_C12_C13_0
#define ICH_LR9_EL2     S3_4_C12_C13_1
#define ICH_LR10_EL2    S3_4_C12_C13_2
#define ICH_LR11_EL2    S3_4_C12_C13_3
#define ICH_LR12_EL2    S3_4_C12_C13_4
#define ICH_LR13_EL2    S3_4_C12_C13_5
#define ICH_LR14_EL2    S3_4_C12_C13_6
#define ICH_LR15_EL2    S3_4_C12_C13_7

#define BIT(n) (1UL << (n))

#define HCR_VM    BIT(0)
#define HCR_SWIO  BIT(1)
#define HCR_FMO   BIT(3)
#define HCR_IMO   BIT(4)
#define HCR_AMO   BIT(5)
#define HCR_FB    BIT(9)
#define HCR_BSU_IS BIT(10)
#define HCR_TWI   BIT(13)
#define HCR_TSC   BIT(19)
#define HCR_TIDCP BIT(20)
#define HCR_TACR  BIT(21)
#define HCR_TGE   BIT(27)
#define HCR_RW    BIT(31)
#define HCR_E2H   BIT(34)

#define MDCR_HPMN  0x1fUL
#define MDCR_TPMCR BIT(5)
#define MDCR_TPM   BIT(6)
#define MDCR_TDOSA BIT(10)
#define MDCR_TDRA  BIT(11)

#define ICH_HCR_EN  BIT(0)
#define ICH_HCR_UIE BIT(1)

#define LR_EOI       BIT(41)
#define LR_GROUP1    BIT(60)
#define LR_HW        BIT(61)
#define LR_PENDING   BIT(62)
#define LR_ACTIVE    BIT(63)

#define TIMER_ENABLE  BIT(0)
#define TIMER_IMASK   BIT(1)

#define PSTATE_EL1H_MASKED 0x3c5UL
#define PSTATE_DAIF        0x3c0UL

#endif
