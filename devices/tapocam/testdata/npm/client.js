// Signs in to a camera as iobroker.tapo does, and prints one line of JSON: the responses to one multipleRequest, or what went wrong.
const [ipAddress, password, ...methods] = process.argv.slice(2)
const { TAPOCamera } = require('iobroker.tapo/build/lib/utils/camera/tapoCamera.js')

const log = { debug() {}, info() {}, warn() {}, error() {} }

async function main() {
  const camera = new TAPOCamera(log, { name: 'camera', ipAddress, password, username: 'admin', loginVersion: 2 })
  camera.tpapFailCount = TAPOCamera.TPAP_MAX_FAILS // this one does not speak TPAP
  const requests = methods.map((method) => ({ method, params: {} }))
  const { result } = await camera.apiRequest({ method: 'multipleRequest', params: { requests } })
  return { responses: result.responses }
}

main().catch((e) => ({ error: String(e) })).then((read) => {
  console.log(JSON.stringify(read))
  process.exit()
})
