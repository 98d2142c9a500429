/** Floating point and SIMD: planets in double, a matrix in single, Mandelbrot, and kernels over bytes and words that the compiler turns into vectors. */

#include "workload.h"

#define NOINLINE __attribute__((noinline))

struct body { double x, y, z, vx, vy, vz, mass; };
static struct body bodies[5];
static float left[48][48], right[48][48], product[48][48];
static u8 a[4096], b[4096], c[4096];
static u16 halves[4096];
static s32 words[4096];

static NOINLINE double root(double value)
{
	double result;

	__asm__("fsqrt %d0, %d1" : "=w"(result) : "w"(value));
	return result;
}

static void place(void)
{
	for (int i = 0; i < 5; i++) {
		double k = i + 1;

		bodies[i] = (struct body){ k * 1.5, 2.0 - k, k * 0.25, 0.01 * k, 0.02 * (3 - i), -0.003 * k, i ? 0.05 / k : 39.0 };
	}
}

static NOINLINE double planets(int steps)
{
	double energy = 0;

	while (steps--) {
		for (int i = 0; i < 5; i++)
			for (int j = i + 1; j < 5; j++) {
				double dx = bodies[i].x - bodies[j].x, dy = bodies[i].y - bodies[j].y, dz = bodies[i].z - bodies[j].z;
				double square = dx * dx + dy * dy + dz * dz + 0.01, pull = 0.001 / (square * root(square));

				bodies[i].vx -= dx * bodies[j].mass * pull;
				bodies[i].vy -= dy * bodies[j].mass * pull;
				bodies[i].vz -= dz * bodies[j].mass * pull;
				bodies[j].vx += dx * bodies[i].mass * pull;
				bodies[j].vy += dy * bodies[i].mass * pull;
				bodies[j].vz += dz * bodies[i].mass * pull;
			}
		for (int i = 0; i < 5; i++) {
			bodies[i].x += 0.001 * bodies[i].vx;
			bodies[i].y += 0.001 * bodies[i].vy;
			bodies[i].z += 0.001 * bodies[i].vz;
		}
	}
	for (int i = 0; i < 5; i++)
		energy += bodies[i].mass * (bodies[i].vx * bodies[i].vx + bodies[i].vy * bodies[i].vy + bodies[i].vz * bodies[i].vz);
	return energy;
}

static NOINLINE void multiply(void)
{
	for (int row = 0; row < 48; row++) {
		for (int column = 0; column < 48; column++)
			product[row][column] = 0;
		for (int k = 0; k < 48; k++)
			for (int column = 0; column < 48; column++)
				product[row][column] += left[row][k] * right[k][column];
	}
}

static NOINLINE u64 mandelbrot(int side, int deepest)
{
	u64 total = 0;

	for (int row = 0; row < side; row++)
		for (int column = 0; column < side; column++) {
			double cx = -2.0 + 3.0 * column / side, cy = -1.5 + 3.0 * row / side, x = 0, y = 0;
			int depth = 0;

			while (depth < deepest && x * x + y * y < 4.0) {
				double next = x * x - y * y + cx;

				y = 2 * x * y + cy;
				x = next;
				depth++;
			}
			total = total * 31 + (u64)depth;
		}
	return total;
}

static NOINLINE void blend(void)
{
	for (int i = 0; i < 4096; i++) {
		c[i] = (u8)((a[i] + b[i] + 1) >> 1);
		halves[i] = (u16)(halves[i] + a[i] * b[i]);
	}
}

static NOINLINE u64 scan(void)
{
	s32 largest = -0x7fffffff;
	u32 sum = 0;

	for (int i = 0; i < 4096; i++) {
		s32 value = words[i] * 17 - (words[i] >> 3);

		largest = value > largest ? value : largest;
		sum += (u32)(value ^ halves[i]) + c[i];
		words[i] = value;
	}
	return (u64)(u32)largest << 32 | sum;
}

static u64 bits(double value)
{
	union { double value; u64 bits; } both = { value };

	return both.bits;
}

static u32 bits32(float value)
{
	union { float value; u32 bits; } both = { value };

	return both.bits;
}

u64 main(void)
{
	u64 sum = 0, seed = 0xda942042e4dd58b5ul;

	place();
	for (int i = 0; i < 4096; i++) {
		a[i] = (u8)draw(&seed);
		b[i] = (u8)draw(&seed);
		words[i] = (s32)draw(&seed);
	}
	for (int row = 0; row < 48; row++)
		for (int column = 0; column < 48; column++) {
			left[row][column] = (float)(draw(&seed) % 1000) / 999;
			right[row][column] = (float)(draw(&seed) % 1000) / 777;
		}
	for (u64 round = 0; round < rounds; round++) {
		sum = mix(sum, bits(planets(300)));
		multiply();
		for (int i = 0; i < 48; i++)
			sum = mix(sum, bits32(product[i][47 - i]));
		left[round % 48][round % 47] += 0.5f;
		sum = mix(sum, mandelbrot(40 + (int)(round & 3), 60));
		for (int i = 0; i < 4; i++) {
			blend();
			sum = mix(sum, scan());
			a[round & 4095]++;
		}
	}
	return sum;
}
