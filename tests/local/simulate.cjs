// Reads rows of trust policies from stdin and writes one result per row, by the simulator in node_modules of the working
// directory. The package's own entry points drop the condition keys of an OIDC issuer that is not well known, so this
// calls what is below them; the test pins the version.
const { createRequire } = require('node:module')
const { readFileSync } = require('node:fs')
const { join } = require('node:path')

const root = join(process.cwd(), 'node_modules', '@cloud-copilot')
const inside = createRequire(join(root, 'iam-simulate', 'package.json'))
const built = (name) => inside(join(root, 'iam-simulate', 'dist', 'cjs', name))
const { loadPolicy } = inside('@cloud-copilot/iam-policy')
const { authorize } = built('core_engine/CoreSimulatorEngine.js')
const { AwsRequestImpl } = built('request/request.js')
const { RequestContextImpl } = built('requestContext.js')
const { DiscoveryContextKeyConstraints } = built('context_keys/discoveryContextKeyConstraints.js')

const results = JSON.parse(readFileSync(0, 'utf8')).map(({ policy, provider, context }) => {
  const resource = { resource: 'arn:aws:iam::123456789012:role/R', accountId: '123456789012' }
  const asked = new RequestContextImpl(context)
  return authorize({
    request: new AwsRequestImpl(provider, resource, 'sts:AssumeRoleWithWebIdentity', asked),
    identityPolicies: [],
    serviceControlPolicies: [],
    resourceControlPolicies: [],
    resourcePolicy: loadPolicy(policy, { name: 'trust' }),
    simulationParameters: {
      simulationMode: 'Strict',
      discoveryContextKeyConstraints: new DiscoveryContextKeyConstraints([])
    },
    serviceSettings: { s3: {} }
  }).result
})
process.stdout.write(JSON.stringify(results))
