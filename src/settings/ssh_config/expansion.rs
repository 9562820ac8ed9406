//! Expansion of tokens, variables and `~` in the values of a configuration.

use super::host_config::{
    ExpansionContext, HostConfig, KNOWN_HOSTS, PORT, RawHostConfig, Unexpanded,
};
use super::lexer::{expand, expand_path};

/// Expands the values for the machine `alias`.
pub(super) fn expand_config(
    found: RawHostConfig,
    alias: &str,
    context: ExpansionContext<'_>,
) -> HostConfig {
    let RawHostConfig { mut config, identity_files, certificate_files, known_hosts, .. } = found;
    let host_name = config.host_name.map(|name| expand(&name, &[('h', alias)]));
    let remote_user = context
        .user
        .map(str::to_owned)
        .or_else(|| config.user.clone())
        .unwrap_or_else(|| context.local_user.to_owned());
    let (home, uid) = (context.home.to_string_lossy(), context.uid.to_string());
    let port = context.port.or(config.port).unwrap_or(PORT).to_string();
    let tokens = [
        ('d', &*home),
        ('h', host_name.as_deref().unwrap_or(alias)),
        ('i', &uid),
        ('k', config.host_key_alias.as_deref().unwrap_or(alias)),
        ('L', context.local_host.split('.').next().unwrap_or_default()),
        ('l', context.local_host),
        ('n', alias),
        ('p', &port),
        ('r', &remote_user),
        ('u', context.local_user),
    ];
    let mut unexpanded = Vec::new();
    let mut path = |option: &'static str, written: &String| {
        let path = expand_path(written, context.home, context.env, &tokens);
        if path.is_none() {
            unexpanded.push(Unexpanded { option, written: written.clone() });
        }
        path
    };
    let is_none = |written: &String| written.eq_ignore_ascii_case("none");
    config.has_no_identity_files = !identity_files.is_empty() && identity_files.iter().all(is_none);
    let mut named = |option, files: Vec<String>| {
        files
            .iter()
            .filter(|written| !is_none(written))
            .filter_map(|written| path(option, written))
            .collect()
    };
    let identity_files = named("IdentityFile", identity_files);
    let certificate_files = named("CertificateFile", certificate_files);
    let known_file = |written: &String| {
        if is_none(written) { Some("/dev/null".into()) } else { path(KNOWN_HOSTS, written) }
    };
    let known_hosts = known_hosts.unwrap_or_default().iter().filter_map(known_file).collect();
    let identity_agent = config.identity_agent.take().and_then(|written| match written.as_str() {
        "none" | "SSH_AUTH_SOCK" => Some(written),
        variable if is_variable(variable) => Some(written),
        _ => path("IdentityAgent", &written).map(|path| path.to_string_lossy().into_owned()),
    });
    HostConfig {
        host_name,
        identity_files,
        certificate_files,
        known_hosts,
        identity_agent,
        unexpanded,
        ..config
    }
}

/// Returns whether the whole text is `$NAME` or `${NAME}`.
fn is_variable(written: &str) -> bool {
    let name = written
        .strip_prefix('$')
        .map(|name| name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name));
    name.is_some_and(|name| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !name.is_empty()
    })
}
