// Publishes or reads the state of a robot: node example.js publish|read NAMESPACE CHANNEL TIMES
'use strict'
const tearless = require('./tearless.js')
const { setTimeout: sleep } = require('node:timers/promises')

// The same struct as in the examples in C.
const robot = tearless.type('robot', {
  jobs: 'uint64_t', position: ['double', 3], battery: 'int32_t', errors: 'uint32_t'
})

async function publish (fleet, channel, times) {
  const writer = new tearless.Writer(fleet, channel, robot)
  const state = { jobs: 0, position: [0, 0, 0], battery: 100, errors: 0 }
  while (times-- > 0) {
    state.jobs++
    state.position[0] = 0.5 * state.jobs
    writer.publish(state)
    await sleep(100)
  }
  console.log(`${state.jobs} jobs`)
  writer.close()
}

async function read (fleet, channel, times) {
  const reader = new tearless.Reader(fleet, channel, robot, { attach_timeout_ns: 10e9 })
  while (times > 0) {
    // Looks, and lets other events happen.
    if (!reader.wait(0)) {
      await sleep(10)
      continue
    }
    const snapshot = reader.read()
    if (!snapshot) continue
    const { state, info } = snapshot
    console.log(`jobs=${state.jobs} x=${state.position[0].toFixed(1)} ` +
      `battery=${state.battery} publication=${info.publication}`)
    times--
  }
  console.log(JSON.stringify(reader.json()))
  reader.close()
}

async function main ([what, space, channel, times]) {
  const fleet = new tearless.Namespace(space)
  await (what === 'publish' ? publish : read)(fleet, channel, Number(times))
  fleet.close()
}

main(process.argv.slice(2)).catch(error => {
  console.error(error.message)
  process.exitCode = 1
})
