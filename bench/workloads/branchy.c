/** A byte-code interpreter: a switch in a loop, running a program that sieves, sorts by insertion and walks the 3n + 1 sequence. */

#include "workload.h"

enum operation { HALT, PUSH, LOAD, STORE, GET, PUT, ADD, SUB, MUL, SHR, AND, LESS, EQUAL, JUMP, UNLESS, CALL, RETURN };
enum variable { I, J, N, T, SUM, SEED, VARIABLES };

#define CELLS 600

static u8 code[1024];
static u64 length;
static u64 cells[CELLS];

static void emit(enum operation operation) { code[length++] = (u8)operation; }

static u64 emit16(enum operation operation, u64 operand)
{
	emit(operation);
	code[length++] = (u8)operand;
	code[length++] = (u8)(operand >> 8);
	return length - 2;
}

/** Makes a jump emitted before lead here. */
static void here(u64 operand)
{
	code[operand] = (u8)length;
	code[operand + 1] = (u8)(length >> 8);
}

static void set(enum variable variable, u64 value)
{
	emit16(PUSH, value);
	emit16(STORE, variable);
}

/** variable = variable + other, or + value. */
static void add(enum variable variable, enum operation how, u64 operand)
{
	emit16(LOAD, variable);
	emit16(how, operand);
	emit(ADD);
	emit16(STORE, variable);
}

/** Goes on when variable < limit; gives the jump to be led to where it does not. */
static u64 below(enum variable variable, u64 limit)
{
	emit16(LOAD, variable);
	emit16(PUSH, limit);
	emit(LESS);
	return emit16(UNLESS, 0);
}

static void assemble(void)
{
	u64 top, inner, out, over, done, call;

	/* T = 3 N + 1 or N / 2, as a subroutine. */
	over = emit16(JUMP, 0);
	call = length;
	emit16(LOAD, N); emit16(PUSH, 1); emit(AND);
	out = emit16(UNLESS, 0);
	emit16(LOAD, N); emit16(PUSH, 3); emit(MUL); emit16(PUSH, 1); emit(ADD); emit16(STORE, N); emit(RETURN);
	here(out);
	emit16(LOAD, N); emit16(PUSH, 1); emit(SHR); emit16(STORE, N); emit(RETURN);
	here(over);

	/* A sieve. */
	set(I, 0);
	top = length;
	out = below(I, CELLS);
	emit16(PUSH, 0); emit16(LOAD, I); emit(PUT);
	add(I, PUSH, 1);
	emit16(JUMP, top);
	here(out);
	set(I, 2);
	top = length;
	out = below(I, CELLS);
	emit16(LOAD, I); emit(GET); emit16(PUSH, 0); emit(EQUAL);
	over = emit16(UNLESS, 0);
	add(SUM, LOAD, I);
	emit16(LOAD, I); emit16(LOAD, I); emit(ADD); emit16(STORE, J);
	inner = length;
	done = below(J, CELLS);
	emit16(PUSH, 1); emit16(LOAD, J); emit(PUT);
	add(J, LOAD, I);
	emit16(JUMP, inner);
	here(done);
	here(over);
	add(I, PUSH, 1);
	emit16(JUMP, top);
	here(out);

	/* Forty-eight numbers drawn and sorted by insertion. */
	set(I, 0);
	top = length;
	out = below(I, 48);
	emit16(LOAD, SEED); emit16(PUSH, 25173); emit(MUL); emit16(PUSH, 13849); emit(ADD); emit16(PUSH, 65535); emit(AND); emit16(STORE, SEED);
	emit16(LOAD, SEED); emit16(STORE, T);
	emit16(LOAD, I); emit16(STORE, J);
	inner = length;
	emit16(PUSH, 0); emit16(LOAD, J); emit(LESS);
	done = emit16(UNLESS, 0);
	emit16(LOAD, T); emit16(LOAD, J); emit16(PUSH, 1); emit(SUB); emit(GET); emit(LESS);
	over = emit16(UNLESS, 0);
	emit16(LOAD, J); emit16(PUSH, 1); emit(SUB); emit(GET); emit16(LOAD, J); emit(PUT);
	emit16(LOAD, J); emit16(PUSH, 1); emit(SUB); emit16(STORE, J);
	emit16(JUMP, inner);
	here(done);
	here(over);
	emit16(LOAD, T); emit16(LOAD, J); emit(PUT);
	add(I, PUSH, 1);
	emit16(JUMP, top);
	here(out);
	emit16(PUSH, 24); emit(GET); emit16(LOAD, SUM); emit(ADD); emit16(STORE, SUM);

	/* The 3 n + 1 sequence from each number below 60. */
	set(I, 1);
	top = length;
	out = below(I, 60);
	emit16(LOAD, I); emit16(STORE, N);
	inner = length;
	emit16(PUSH, 1); emit16(LOAD, N); emit(LESS);
	done = emit16(UNLESS, 0);
	emit16(CALL, call);
	add(SUM, PUSH, 1);
	emit16(JUMP, inner);
	here(done);
	add(I, PUSH, 1);
	emit16(JUMP, top);
	here(out);
	emit(HALT);
}

static __attribute__((noinline)) u64 interpret(u64 seed)
{
	u64 stack[64], variables[VARIABLES] = { [SEED] = seed & 0xffff };
	u64 *top = stack;
	const u8 *pc = code;

#define OPERAND() (pc += 2, (u64)(pc[-2] | pc[-1] << 8))
	for (;;) {
		u64 operand;

		switch ((enum operation)*pc++) {
		case PUSH: *top++ = OPERAND(); break;
		case LOAD: *top++ = variables[OPERAND()]; break;
		case STORE: operand = OPERAND(); variables[operand] = *--top; break;
		case GET: top[-1] = cells[top[-1]]; break;
		case PUT: top -= 2; cells[top[1]] = top[0]; break;
		case ADD: top--; top[-1] += top[0]; break;
		case SUB: top--; top[-1] -= top[0]; break;
		case MUL: top--; top[-1] *= top[0]; break;
		case SHR: top--; top[-1] >>= top[0]; break;
		case AND: top--; top[-1] &= top[0]; break;
		case LESS: top--; top[-1] = top[-1] < top[0]; break;
		case EQUAL: top--; top[-1] = top[-1] == top[0]; break;
		case JUMP: operand = OPERAND(); pc = code + operand; break;
		case UNLESS: operand = OPERAND(); if (!*--top) pc = code + operand; break;
		case CALL: operand = OPERAND(); *top++ = (u64)(pc - code); pc = code + operand; break;
		case RETURN: pc = code + *--top; break;
		case HALT: return variables[SUM];
		}
	}
}

u64 main(void)
{
	u64 sum = 0, seed = 0x9fb21c651e98df25ul;

	assemble();
	for (u64 round = 0; round < rounds; round++)
		sum = mix(sum, interpret(draw(&seed)));
	return sum;
}
