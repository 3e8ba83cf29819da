// A client of the vendor's cloud that others wrote, as it is. It knows one host, which is not to be had here: what it sends there
// is sent to the service instead, and nothing else of it is changed.
const [base, email, password, wrong] = process.argv.slice(-4)
const axios = require('axios')
axios.interceptors.request.use((c) => ({ ...c, url: c.url.replace('https://wap.tplinkcloud.com', base) }))
const { login } = require('tplink-cloud-api')

const code = async (does) => {
  try {
    await does()
    return 0
  } catch (e) {
    return e.errorCode ?? e.message
  }
}

const main = async () => {
  const said = { wrong: await code(() => login(email, wrong)) }
  const cloud = await login(email, password, '11111111-2222-4333-8444-555555555555')
  const devices = await cloud.getDeviceList()
  said.devices = devices.map((d) => `${d.alias} ${d.deviceType} ${d.status}`).sort()
  const plug = cloud.getHS100('plug-1')
  await plug.powerOn()
  said.on = await plug.getRelayState()
  await plug.powerOff()
  said.off = await plug.getRelayState()
  const bulb = cloud.getLB100('bulb-1')
  said.bulb = (await bulb.passthroughRequest({ system: { get_sysinfo: {} } })).system.get_sysinfo.alias
  console.log(JSON.stringify(said))
  // Whatever is asked next, once the caller has changed the password, is asked with the token of before.
  process.stdin.once('data', async () => {
    console.log(JSON.stringify({ list: await code(() => cloud.getDeviceList()), plug: await code(() => plug.getSysInfo()), old: await code(() => login(email, password)) }))
    process.exit(0)
  })
}
main().catch((e) => {
  console.error(e)
  process.exit(1)
})
