/** Integer mix: CRC by table, matrix product, list sorting through a function pointer, strings, a sieve, a hash with wide products and divisions, recursion, a 16-way switch. */

#include "workload.h"

#define NOINLINE __attribute__((noinline))

static u32 crc_table[256];
static u8 text[4096], other[4096];
static u32 left[24][24], right[24][24], product[24][24];
static u8 composite[8192];
struct node { struct node *next; u64 key; };
static struct node nodes[1024];

static void make_crc_table(void)
{
	for (u32 byte = 0; byte < 256; byte++) {
		u32 crc = byte;

		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? (crc >> 1) ^ 0xedb88320u : crc >> 1;
		crc_table[byte] = crc;
	}
}

static NOINLINE u32 crc32(const u8 *bytes, u64 count)
{
	u32 crc = ~0u;

	while (count--)
		crc = crc_table[(crc ^ *bytes++) & 0xff] ^ (crc >> 8);
	return ~crc;
}

static NOINLINE u64 multiply(u64 seed)
{
	u64 sum = 0;

	for (int row = 0; row < 24; row++)
		for (int column = 0; column < 24; column++) {
			left[row][column] = (u32)draw(&seed);
			right[row][column] = (u32)draw(&seed);
		}
	for (int row = 0; row < 24; row++)
		for (int column = 0; column < 24; column++) {
			u32 cell = 0;

			for (int k = 0; k < 24; k++)
				cell += left[row][k] * right[k][column];
			product[row][column] = cell;
		}
	for (int row = 0; row < 24; row++)
		sum = mix(sum, product[row][23 - row]);
	return sum;
}

static NOINLINE int by_key(const struct node *a, const struct node *b)
{
	return a->key < b->key ? -1 : a->key > b->key;
}

static NOINLINE int by_low_bits(const struct node *a, const struct node *b)
{
	return (int)(a->key & 0xffff) - (int)(b->key & 0xffff);
}

static struct node *merge(struct node *a, struct node *b, int (*compare)(const struct node *, const struct node *))
{
	struct node head, *tail = &head;

	while (a && b) {
		if (compare(a, b) <= 0) {
			tail->next = a;
			a = a->next;
		} else {
			tail->next = b;
			b = b->next;
		}
		tail = tail->next;
	}
	tail->next = a ? a : b;
	return head.next;
}

static struct node *sort(struct node *list, int (*compare)(const struct node *, const struct node *))
{
	struct node *slow = list, *fast;

	if (!list || !list->next)
		return list;
	for (fast = list->next; fast && fast->next; fast = fast->next->next)
		slow = slow->next;
	fast = slow->next;
	slow->next = 0;
	return merge(sort(list, compare), sort(fast, compare), compare);
}

static NOINLINE u64 sort_list(u64 seed)
{
	static int (*const orders[])(const struct node *, const struct node *) = { by_key, by_low_bits };
	u64 sum = 0;

	for (int i = 0; i < 1024; i++) {
		nodes[i].key = draw(&seed);
		nodes[i].next = i == 1023 ? 0 : &nodes[i + 1];
	}
	for (struct node *node = sort(nodes, orders[seed & 1]); node; node = node->next)
		sum = mix(sum, node->key);
	return sum;
}

static NOINLINE u64 length(const u8 *string)
{
	const u8 *end = string;

	while (*end)
		end++;
	return (u64)(end - string);
}

static NOINLINE void copy(u8 *to, const u8 *from)
{
	while ((*to++ = *from++))
		;
}

static NOINLINE int compare(const u8 *a, const u8 *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a - *b;
}

static NOINLINE u64 strings(u64 seed)
{
	u64 sum = 0;

	for (u64 at = 0; at < 4095; at++)
		text[at] = 'a' + (u8)(draw(&seed) % 25);
	text[1000 + seed % 3000] = 0;
	copy(other, text);
	sum = mix(sum, length(other));
	other[seed % 900] ^= 1;
	sum = mix(sum, (u64)compare(text, other));
	return mix(sum, crc32(text, 2048));
}

static NOINLINE u64 sieve(void)
{
	u64 primes = 0;

	for (u32 i = 0; i < 8192; i++)
		composite[i] = 0;
	for (u32 i = 2; i < 8192; i++) {
		if (composite[i])
			continue;
		primes++;
		for (u32 j = i * i; j < 8192; j += i)
			composite[j] = 1;
	}
	return primes;
}

static NOINLINE u64 hash(u64 seed)
{
	u64 a = seed | 1, b = ~seed, c = 0x123456789abcdeful;

	for (int i = 0; i < 3000; i++) {
		u64 high = (u64)(((unsigned __int128)a * b) >> 64);

		a = a * 0xff51afd7ed558ccdul + high;
		b = b / ((a >> 40) | 1) + (a << 7 | a >> 57);
		c ^= (u64)((s64)b / ((s64)(high >> 32) - 0x7fffffff)) + a % 1000003;
		a ^= c >> 31;
	}
	return a ^ b ^ c;
}

static NOINLINE u64 fibonacci(u64 n)
{
	u64 sum = n;

	/* Kept a real recursion. */
	__asm__ volatile("" : "+r"(n));
	if (n < 2)
		return n;
	sum = fibonacci(n - 1);
	return sum + fibonacci(n - 2);
}

static NOINLINE u64 choose(u64 seed)
{
	u64 a = seed, b = 7;

	for (int i = 0; i < 6000; i++) {
		switch ((a >> 9) & 15) {
		case 0: a += b; break;
		case 1: b ^= a; break;
		case 2: a = (a << 3) | (a >> 61); break;
		case 3: b -= a >> 5; break;
		case 4: a *= 5; break;
		case 5: b += 0x1234567; break;
		case 6: a ^= b << 11; break;
		case 7: b = ~b; break;
		case 8: a -= 99; break;
		case 9: b = b * 3 + a; break;
		case 10: a ^= a >> 17; break;
		case 11: b ^= b << 9; break;
		case 12: a = a + (b & 0xff); break;
		case 13: b |= a & 0xf0f0; break;
		case 14: a = (a >> 1) + b; break;
		default: b += a ^ 0x5555; break;
		}
		a += 0x9e3779b97f4a7c15ul;
	}
	return a ^ b;
}

u64 main(void)
{
	u64 sum = 0, seed = 0x2545f4914f6cdd1dul;

	make_crc_table();
	for (u64 round = 0; round < rounds; round++) {
		sum = mix(sum, strings(draw(&seed)));
		sum = mix(sum, multiply(draw(&seed)));
		sum = mix(sum, sort_list(draw(&seed)));
		sum = mix(sum, sieve());
		sum = mix(sum, hash(draw(&seed)));
		sum = mix(sum, fibonacci(19));
		sum = mix(sum, choose(draw(&seed)));
	}
	return sum;
}
