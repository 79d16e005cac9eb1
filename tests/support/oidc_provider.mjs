// An OpenID provider for tests: oidc-provider with its own pages, in memory. It prints its issuer in one line.
//
// POST /test/setup changes it while it runs, with JSON: `redirect_uris`, `accounts` (subject -> claims), `id_token_seconds`,
// `rotate` (true: other keys from now on). Any password signs in an account that is there.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';

import Provider from 'oidc-provider';

const CLIENT = { client_id: 'bulkhead', client_secret: 'a secret of a test' };
const setup = { redirect_uris: ['http://127.0.0.1:1/x'], accounts: {}, id_token_seconds: 300, backchannel_logout_uri: null };
let key = newKey();
let answer;
let issuer;

function newKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' };
}

function build() {
  const origin = (uri) => new URL(uri).origin;
  const client = {
    ...CLIENT,
    redirect_uris: setup.redirect_uris,
    post_logout_redirect_uris: setup.redirect_uris.map((uri) => `${origin(uri)}/sign-in`),
    ...(setup.backchannel_logout_uri && {
      backchannel_logout_uri: setup.backchannel_logout_uri,
      backchannel_logout_session_required: true,
    }),
  };
  const provider = new Provider(issuer, {
    clients: [client],
    jwks: { keys: [key] },
    cookies: { keys: ['a key of a test'] },
    claims: { profile: ['name', 'groups'], email: ['email', 'email_verified'] },
    features: { backchannelLogout: { enabled: true }, devInteractions: { enabled: true } },
    ttl: { IdToken: setup.id_token_seconds, AuthorizationCode: 60, AccessToken: 300, Interaction: 300, Session: 600, Grant: 600 },
    fetch: (url, { dispatcher, ...options }) => fetch(url, options), // its own dispatcher calls no address of this machine
    findAccount: (ctx, sub) => setup.accounts[sub] && { accountId: sub, claims: () => ({ sub, ...setup.accounts[sub] }) },
    async loadExistingGrant(ctx) {
      const grant = new ctx.oidc.provider.Grant({ accountId: ctx.oidc.session.accountId, clientId: ctx.oidc.client.clientId });
      grant.addOIDCScope('openid profile email');
      await grant.save();
      return grant;
    },
  });
  answer = provider.callback();
}

const server = createServer((request, response) => {
  if (request.url !== '/test/setup') {
    answer(request, response);
    return;
  }
  const pieces = [];
  request.on('data', (piece) => pieces.push(piece));
  request.on('end', () => {
    const { rotate, ...changes } = JSON.parse(Buffer.concat(pieces).toString());
    Object.assign(setup, changes);
    key = rotate ? newKey() : key;
    build();
    response.end('{}');
  });
});
server.listen(0, '127.0.0.1', () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  build();
  process.stdout.write(`${issuer}\n`);
});
process.stdin.on('end', () => process.exit()).resume();  // the test's process has ended
