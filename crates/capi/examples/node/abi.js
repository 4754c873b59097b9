// What tearless.h declares, as far as tearless.js needs it.
'use strict'
const koffi = require('koffi')
const library = koffi.load(process.env.TEARLESS_LIBRARY ?? 'libtearless.so.1')

const Field = koffi.struct('tl_field', {
  name: 'const char *', offset: 'size_t', size: 'size_t', lengths: koffi.array('size_t', 3),
  structure: 'void *', scalar: 'int32_t'
})
const Structure = koffi.struct('tl_structure', {
  struct_size: 'uint32_t', field_size: 'uint32_t', name: 'const char *', size: 'size_t',
  alignment: 'size_t', fields: 'tl_field *', field_count: 'size_t'
})
const WriterOptions = koffi.struct('tl_writer_options', {
  struct_size: 'uint32_t', codec: 'int32_t', type_name: 'const char *',
  structure: 'tl_structure *', capacity: 'size_t', slots: 'size_t', max_state_length: 'size_t',
  pins: 'size_t', max_memory: 'uint64_t', heartbeat_interval_ns: 'int64_t', permissions: 'uint32_t',
  checksum: 'int32_t', linger: 'int32_t', no_timestamps: 'int32_t'
})
const ReaderOptions = koffi.struct('tl_reader_options', {
  struct_size: 'uint32_t', codec: 'int32_t', type_name: 'const char *',
  structure: 'tl_structure *', accept: 'int32_t', views_in_place: 'int32_t',
  attach_timeout_ns: 'int64_t'
})
koffi.struct('tl_info', {
  publication: 'uint64_t', length: 'size_t', boot_ns: 'int64_t', origin_publication: 'uint64_t',
  retries: 'uint64_t', reserved: koffi.array('uint64_t', 3)
})
for (const name of ['tl_namespace', 'tl_writer', 'tl_reader']) koffi.opaque(name)
const call = Object.fromEntries([
  'const char *tl_error_message()',
  'int32_t tl_namespace_open(const char *, void *, _Out_ tl_namespace **)',
  'int32_t tl_namespace_close(tl_namespace *)',
  'int32_t tl_writer_open(tl_namespace *, const char *, tl_writer_options *, _Out_ tl_writer **)',
  'int32_t tl_writer_publish(tl_writer *, const void *, size_t, _Out_ uint64_t *)',
  'int32_t tl_writer_close(tl_writer *)',
  'int32_t tl_reader_open(tl_namespace *, const char *, tl_reader_options *, _Out_ tl_reader **)',
  'int32_t tl_reader_read(tl_reader *, void *, size_t, _Out_ tl_info *)',
  'int32_t tl_reader_wait(tl_reader *, int64_t)',
  'int32_t tl_reader_json(tl_reader *, void *, size_t, _Out_ size_t *, _Out_ tl_info *)',
  'int32_t tl_reader_close(tl_reader *)'
].map(text => [/tl_\w+(?=\()/.exec(text)[0], library.func(text)]))

const SCALARS = ['bool', 'uint8_t', 'uint16_t', 'uint32_t', 'uint64_t', 'int8_t', 'int16_t',
  'int32_t', 'int64_t', 'float', 'double']

/** A struct: type('robot', { jobs: 'uint64_t', position: ['double', 3] }). */
function type (name, members) {
  const known = Object.entries(members).map(([member, it]) => [member, ...[it].flat()])
  const struct = koffi.struct(Object.fromEntries(known.map(([member, scalar, length]) =>
    [member, length ? koffi.array(scalar, length) : scalar])))
  const fields = known.map(([member, scalar, length = 0]) => ({
    name: member, offset: koffi.offsetof(struct, member),
    size: koffi.sizeof(scalar) * (length || 1), lengths: [length, 0, 0], structure: null,
    scalar: 1 + SCALARS.indexOf(scalar)
  }))
  const structure = {
    struct_size: koffi.sizeof(Structure), field_size: koffi.sizeof(Field), name,
    size: koffi.sizeof(struct), alignment: koffi.alignof(struct), fields, field_count: fields.length
  }
  return { struct, structure }
}

module.exports = { koffi, call, type, WriterOptions, ReaderOptions }
