/** NumPy's .npy files, version 1.0, little-endian, C order (numpy.lib.format). */
import { writeFile } from 'node:fs/promises'

/** Writes a float32 array of the given shape. */
export async function writeNpy(
  path: string,
  data: Float32Array,
  shape: readonly number[],
): Promise<void> {
  const description = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(', ')},), }`
  const padded = Math.ceil((10 + description.length + 1) / 64) * 64 - 10
  const header = Buffer.alloc(10 + padded, ' ')
  header.write('\x93NUMPY\x01\x00', 0, 'latin1')
  header.writeUInt16LE(padded, 8)
  header.write(description, 10, 'latin1')
  header[header.length - 1] = 10
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  await writeFile(path, Buffer.concat([header, bytes]))
}
