//! Sees to it that there is a folder to embed the playground from, built or not.

fn main() {
    // Without Node nobody has built it, and the macro that embeds wants a folder.
    if let Err(error) = std::fs::create_dir_all("playground/dist") {
        println!("cargo::warning=the playground is left out: {error}");
    }
    println!("cargo::rerun-if-changed=playground/dist");
}
