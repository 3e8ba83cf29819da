// Reads all that tplink-smarthome-api reads of one device, switches the device on, and prints one line of JSON.
const [host] = process.argv.slice(2)
const { Client } = require('tplink-smarthome-api')

async function main() {
  const client = new Client({ logLevel: 'silent', defaultSendOptions: { transport: 'tcp', timeout: 10000 } })
  const device = await client.getDevice({ host })
  await device.setPowerState(true)
  const { sysInfo, cloud, emeter, schedule } = await device.getInfo()
  const { rule_list: rules } = await device.schedule.getRules()
  const { year } = await device.time.getTime()
  return {
    model: sysInfo.model, username: cloud.info.username, binded: cloud.info.binded, on: await device.getPowerState(),
    power: emeter.realtime.power, nextAction: schedule.nextAction.type, rules: rules.length, year,
  }
}

main().catch((e) => ({ error: String(e) })).then((read) => {
  console.log(JSON.stringify(read))
  process.exit()
})
