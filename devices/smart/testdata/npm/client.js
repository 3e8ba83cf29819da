// Signs in to a device as others' programs do, and prints one line of JSON: who it says it is, or what went wrong.
const [transport, address, email, password] = process.argv.slice(2)
const { loginDeviceByIp } = require(`tp-link-tapo-connect/dist/${transport}-transport`)

async function main() {
  const device = await loginDeviceByIp(email, password, address)
  await device.turnOn()
  const { mac, nickname, device_on } = await device.getDeviceInfo()
  return { mac, nickname, on: device_on }
}

main().catch((e) => ({ error: String(e) })).then((said) => {
  console.log(JSON.stringify(said))
  process.exit()
})
