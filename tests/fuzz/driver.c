// SPDX-License-Identifier: Apache-2.0
/*
 * Runs a target of libFuzzer without libFuzzer, by any compiler: inputs from standard input, each behind its length
 * (2 octets, network order). An input that the target complains of ends the program.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

int main(int argc, char **argv)
{
	uint8_t head[2], *data;
	size_t size;

	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	while (fread(head, 1, sizeof(head), stdin) == sizeof(head)) {
		size = head[0] << 8 | head[1];
		/* of just its size, for the sanitizer */
		data = malloc(size);
		if (size && (!data || fread(data, 1, size, stdin) != size))
			return 2;
		LLVMFuzzerTestOneInput(data, size);
		free(data);
	}
	return 0;
}
