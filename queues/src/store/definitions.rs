//! STUB, replaced by the store branch.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use parking_lot::Mutex;
use super::log::Finding;
/// stub
pub struct Definitions { map: Mutex<BTreeMap<String, Vec<u8>>>, path: PathBuf, next: AtomicU64 }
#[allow(missing_docs, clippy::all, clippy::pedantic)]
impl Definitions {
    pub fn open(dir: &Path) -> Result<(Self, Vec<Finding>), std::io::Error> {
        let path = dir.join("stub-definitions.json");
        let map: BTreeMap<String, Vec<u8>> = std::fs::read(&path).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
        let base = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
        Ok((Self { map: Mutex::new(map), path, next: AtomicU64::new(base) }, vec![]))
    }
    pub fn all(&self) -> Result<Vec<(String, Vec<u8>)>, std::io::Error> { Ok(self.map.lock().clone().into_iter().collect()) }
    pub fn commit(&self, c: &[(String, Option<Vec<u8>>)]) -> Result<(), std::io::Error> {
        let mut m = self.map.lock();
        for (k, v) in c { match v { Some(v) => { m.insert(k.clone(), v.clone()); } None => { m.remove(k); } } }
        std::fs::write(&self.path, serde_json::to_vec(&*m).unwrap())
    }
    pub fn next_id(&self) -> Result<u64, std::io::Error> { Ok(self.next.fetch_add(1, Ordering::SeqCst)) }
    pub fn close(&self) {}
}
