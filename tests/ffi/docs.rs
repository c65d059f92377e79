//! The guide's examples in C and C++ are programs.

use crate::guide::{blocks_in, guide};
use crate::rig::{compile, has, scratch};

#[test]
fn examples_of_the_guide_compile() {
    let folder = scratch("docs");
    for (language, compiler, standard) in [("c", "cc", "-std=c11"), ("cpp", "c++", "-std=c++17")] {
        if !has(compiler) {
            continue;
        }
        let blocks = blocks_in(&guide(), &[language]);
        assert!(!blocks.is_empty(), "no example in {language}");
        for (number, block) in blocks.iter().enumerate() {
            let source = folder.join(format!("{number}.{language}"));
            // So that the compiler tells the page's line.
            let (page, line) = block.place.split_once(", line ").unwrap();
            let text =
                format!("#line {} \"{page}\"\n{}", line.parse::<u32>().unwrap() + 1, block.text);
            std::fs::write(&source, text).unwrap();
            let program = folder.join(format!("{language}-{number}"));
            compile(compiler, &[standard], source.to_str().unwrap(), &program);
        }
    }
}
