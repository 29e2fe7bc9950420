//! The dashboard's files: embedded in the binary, or from a folder during development.
//!
//! Invariants: only files below the folder are served; every answer carries a content security policy that allows
//! only this origin, no inline script and no framing.
//! The page names its scripts and styles below a folder that is called after their content, so that browsers keep them
//! for good; modules import each other relative to it.
//! Absent: sessions and state; the files use the API like any other client.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

/// The pages set styles from script, element by element, which needs no `unsafe-inline`.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
);

#[derive(RustEmbed)]
#[folder = "management-ui/"]
#[exclude = "*.sh"]
#[exclude = "*.md"]
#[exclude = "*.ts"]
struct Files;

/// Start of the folder in paths whose rest is the content's hash.
const VERSIONED: &str = "v-";

/// How long files below that folder are kept without asking again: a year.
const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// A hash of all embedded files.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut names: Vec<_> = Files::iter().collect();
    names.sort_unstable();
    let mut digest = Sha256::new();
    for name in names {
        digest.update(name.as_bytes());
        digest.update(Files::get(&name).map(|file| file.metadata.sha256_hash()).unwrap_or_default());
    }
    digest.finalize().iter().take(8).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
});

/// The page, with the versioned paths of the files that it loads.
static PAGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let page = Files::get(INDEX).map(|file| file.data).unwrap_or_default();
    let mut page = String::from_utf8_lossy(&page).into_owned();
    for (name, start) in [("stylesheet", "href=\""), ("modulepreload", "href=\""), ("module", "src=\"")] {
        for attribute in ["rel", "type"] {
            let before = format!("{attribute}=\"{name}\" {start}");
            page = page.replace(&before, &format!("{before}{VERSIONED}{}/", *VERSION));
        }
    }
    page.into_bytes()
});

/// The page's file.
const INDEX: &str = "index.html";

/// Serves the dashboard for paths that no other route matches; from `folder` if given.
pub(super) fn router(folder: Option<PathBuf>) -> Router {
    Router::new().fallback(move |request: Request<Body>| {
        let folder = folder.clone();
        async move { answer(request.method(), request.uri().path(), request.headers(), folder.as_deref()).await }
    })
}

async fn answer(method: &Method, path: &str, headers: &HeaderMap, folder: Option<&Path>) -> Response<Body> {
    if method != Method::GET && method != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD.");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let name = match path.trim_start_matches('/') {
        "" => INDEX,
        name => name,
    };
    // The folder of another version is a page's that was loaded before an upgrade: served, but not kept.
    let (version, name) = match name.strip_prefix(VERSIONED).and_then(|rest| rest.split_once('/')) {
        Some((version, name)) => (Some(version), name),
        None => (None, name),
    };
    let Some((bytes, tag)) = find(name, folder).await else {
        return plain(StatusCode::NOT_FOUND, "There is no such file.");
    };
    let mut response = Response::new(Body::empty());
    let out = response.headers_mut();
    out.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
    out.insert(CONTENT_SECURITY_POLICY, POLICY);
    out.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    out.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // Without a version browsers must revalidate; the tag makes that cheap.
    let kept = folder.is_none() && version == Some(VERSION.as_str());
    out.insert(CACHE_CONTROL, if kept { KEPT } else { HeaderValue::from_static("no-cache") });
    let tag = tag.and_then(|tag| HeaderValue::from_str(&tag).ok());
    if let Some(tag) = &tag {
        out.insert(ETAG, tag.clone());
    }
    if tag.is_some() && headers.get(IF_NONE_MATCH) == tag.as_ref() {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else if method == Method::GET {
        *response.body_mut() = match bytes {
            Cow::Borrowed(bytes) => Body::from(bytes),
            Cow::Owned(bytes) => Body::from(bytes),
        };
    }
    response
}

/// A file and its entity tag. Files of a folder may change during development, and have none.
async fn find(name: &str, folder: Option<&Path>) -> Option<(Cow<'static, [u8]>, Option<String>)> {
    let Some(folder) = folder else {
        if name == INDEX {
            return Some((Cow::Borrowed(PAGE.as_slice()), Some(format!("\"{}\"", *VERSION))));
        }
        let file = Files::get(name)?;
        let hash = file.metadata.sha256_hash();
        let tag = hash.iter().take(8).fold(0_u64, |tag, byte| tag << 8 | u64::from(*byte));
        return Some((file.data, Some(format!("\"{tag:016x}\""))));
    };
    let below = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if !below {
        return None;
    }
    let path = folder.join(name);
    let bytes = tokio::task::spawn_blocking(move || std::fs::read(path)).await.ok()?.ok()?;
    Some((Cow::Owned(bytes), None))
}

fn content_type(name: &str) -> &'static str {
    match Path::new(name).extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(path: &str, headers: &HeaderMap, folder: Option<&Path>) -> Response<Body> {
        answer(&Method::GET, path, headers, folder).await
    }

    #[tokio::test]
    async fn the_root_is_the_page_with_a_policy_that_allows_this_origin_alone() {
        let response = get("/", &HeaderMap::new(), None).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"), "{policy}");
    }

    #[tokio::test]
    async fn every_kind_of_file_has_its_content_type() {
        for (path, want) in [
            ("/app.js", "text/javascript; charset=utf-8"),
            ("/style.css", "text/css; charset=utf-8"),
            ("/favicon.svg", "image/svg+xml"),
            ("/vendor/preact.LICENSE", "text/plain; charset=utf-8"),
        ] {
            let response = get(path, &HeaderMap::new(), None).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(response.headers()[CONTENT_TYPE], want, "{path}");
        }
    }

    #[tokio::test]
    async fn a_file_that_the_browser_has_is_not_sent_again() {
        let first = get("/app.js", &HeaderMap::new(), None).await;
        let headers = HeaderMap::from_iter([(IF_NONE_MATCH, first.headers()[ETAG].clone())]);
        assert_eq!(get("/app.js", &headers, None).await.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(get("/style.css", &headers, None).await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn what_the_page_loads_is_kept_for_good_under_the_name_of_its_content() {
        let page = get("/", &HeaderMap::new(), None).await;
        assert_eq!(page.headers()[CACHE_CONTROL], "no-cache");
        let page = axum::body::to_bytes(page.into_body(), 1 << 20).await.unwrap();
        let page = String::from_utf8(page.to_vec()).unwrap();
        let folder = format!("{VERSIONED}{}/", *VERSION);
        for name in ["app.js", "style.css", "pages/overview.js"] {
            let path = format!("{folder}{name}");
            assert!(page.contains(&format!("\"{path}\"")), "{path} in {page}");
            let response = get(&format!("/{path}"), &HeaderMap::new(), None).await;
            assert_eq!((response.status(), &response.headers()[CACHE_CONTROL]), (StatusCode::OK, &KEPT));
        }
        let older = get("/v-0011223344556677/app.js", &HeaderMap::new(), None).await;
        assert_eq!(
            (older.status(), &older.headers()[CACHE_CONTROL]),
            (StatusCode::OK, &"no-cache".parse().unwrap())
        );
        for missing in ["/v-0011223344556677/none.js", "/v-app.js"] {
            assert_eq!(get(missing, &HeaderMap::new(), None).await.status(), StatusCode::NOT_FOUND);
        }
    }

    #[tokio::test]
    async fn paths_out_of_the_folder_are_not_found() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret.js"), "secret").unwrap();
        let folder = outside.path().join("ui");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("app.js"), "shown").unwrap();
        assert_eq!(get("/app.js", &HeaderMap::new(), Some(&folder)).await.status(), StatusCode::OK);
        for path in ["/../secret.js", "/x/../../secret.js", "//etc/passwd", "/./../secret.js"] {
            let response = get(path, &HeaderMap::new(), Some(&folder)).await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[tokio::test]
    async fn other_methods_get_no_page() {
        let response = answer(&Method::POST, "/", &HeaderMap::new(), None).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn scripts_for_people_are_not_in_the_binary() {
        let response = get("/refresh-vendor.sh", &HeaderMap::new(), None).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
    }
}
