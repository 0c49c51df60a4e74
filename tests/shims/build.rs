//! Compiles the shims against the headers of the bundled SQLite.

fn main() {
    println!("cargo:rerun-if-changed=cksumvfs.c");
    println!("cargo:rerun-if-changed=tmstmpvfs.c");
    let include = std::env::var("DEP_SQLITE3_INCLUDE").expect("libsqlite3-sys is bundled");
    cc::Build::new()
        .files(["cksumvfs.c", "tmstmpvfs.c"])
        .include(include)
        .define("SQLITE_CKSUMVFS_STATIC", None)
        .define("SQLITE_TMSTMPVFS_STATIC", None)
        .warnings(false)
        .compile("shims");
}
