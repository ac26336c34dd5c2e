// Node-RED's settings, read at its start. From the environment: CUSTOMER_ID and ADMIN_PASSWORD, who
// may edit; NODE_RED_CREDENTIAL_SECRET, which must stay what it was at the first start: flows'
// credentials are encrypted with it.
const crypto = require("crypto");

function required(name) {
    const value = process.env[name];
    if (!value) {
        throw new Error(`${name} is not set: Node-RED does not start without it`);
    }
    return value;
}

// A flow can read the environment: these two are none of its business.
function take(name) {
    const value = required(name);
    delete process.env[name];
    return value;
}

const customer = required("CUSTOMER_ID");
const password = take("ADMIN_PASSWORD");
const editor = { username: customer, permissions: "*" };

// Of digests, which are of one length, in a time that tells nothing.
function same(one, other) {
    const digest = (text) => crypto.createHash("sha256").update(String(text)).digest();
    return crypto.timingSafeEqual(digest(one), digest(other));
}

async function users(username) {
    return username === customer ? editor : null;
}

async function authenticate(username, given) {
    const right = [same(username, customer), same(given, password)];
    return right.every(Boolean) ? editor : null;
}

module.exports = {
    uiPort: 1880,
    httpAdminRoot: "/",
    httpNodeRoot: "/",
    flowFile: "flows.json",
    credentialSecret: take("NODE_RED_CREDENTIAL_SECRET"),
    adminAuth: { type: "credentials", sessionExpiryTime: 86400, users, authenticate },

    // What runs is what the image brings: no package arrives from the editor or from a flow.
    externalModules: {
        autoInstall: false,
        palette: { allowInstall: false, allowUpdate: false, allowUpload: false },
        modules: { allowInstall: false },
    },
    functionExternalModules: false,
    telemetry: { enabled: false, updateNotification: false },
    diagnostics: { enabled: false },
    runtimeState: { enabled: false },
    editorTheme: {
        tours: false,
        projects: { enabled: false },
    },
    logging: { console: { level: "info", metrics: false, audit: false } },
};
