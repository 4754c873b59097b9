// Channels of plain structs. Calls are synchronous: the text of an error is the calling thread's.
'use strict'
const { koffi, call, type, WriterOptions, ReaderOptions } = require('./abi.js')

/** True for success, false for "nothing yet" and the like; an error is thrown. */
function check (status) {
  if (status < 0) throw Object.assign(new Error(call.tl_error_message()), { status })
  return status === 0
}

class Handle {
  #close
  constructor (open, close) {
    const out = [null]
    check(open(out))
    this.handle = out[0]
    this.#close = close
  }

  close () {
    check(this.#close(this.handle))
    this.handle = null
  }
}

class Namespace extends Handle {
  constructor (name) {
    super(out => call.tl_namespace_open(name, null, out), call.tl_namespace_close)
  }
}

class Writer extends Handle {
  constructor (fleet, channel, type, options = {}) {
    const given = { struct_size: koffi.sizeof(WriterOptions), structure: type.structure, ...options }
    super(out => call.tl_writer_open(fleet.handle, channel, given, out), call.tl_writer_close)
    this.struct = type.struct
    this.buffer = Buffer.alloc(koffi.sizeof(type.struct))
  }

  publish (state) {
    const publication = [0]
    koffi.encode(this.buffer, this.struct, state)
    check(call.tl_writer_publish(this.handle, this.buffer, this.buffer.length, publication))
    return publication[0]
  }
}

class Reader extends Handle {
  constructor (fleet, channel, type, options = {}) {
    const given = { struct_size: koffi.sizeof(ReaderOptions), structure: type?.structure, ...options }
    super(out => call.tl_reader_open(fleet.handle, channel, given, out), call.tl_reader_close)
    this.struct = type?.struct
    this.buffer = Buffer.alloc(type ? koffi.sizeof(type.struct) : 0)
  }

  /** { state, info }; null if nothing has been published yet. */
  read () {
    const info = {}
    const is = check(call.tl_reader_read(this.handle, this.buffer, this.buffer.length, info))
    return is ? { state: koffi.decode(this.buffer, this.struct), info } : null
  }

  /** Waits on the only thread: keep it short. */
  wait (milliseconds) {
    return check(call.tl_reader_wait(this.handle, Math.max(0, milliseconds) * 1e6))
  }

  /** The latest state of any channel; null if nothing has been published yet. */
  json (room = 65536) {
    const text = Buffer.alloc(room)
    const length = [0]
    const is = check(call.tl_reader_json(this.handle, text, text.length, length, {}))
    return is ? JSON.parse(text.toString('utf8', 0, Number(length[0]))) : null
  }
}

module.exports = { type, Namespace, Writer, Reader }
