//! No jar makes the reader of options panic, whatever was done to it: the bytes as they are, and as a library within a good jar.
#![no_main]

use std::io::{Cursor, Write};

use flowkeeper_server::app::options::of_jar;
use libfuzzer_sys::fuzz_target;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

fuzz_target!(|bytes: &[u8]| {
    let _ = of_jar(bytes.to_vec());
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let files: [(&str, &[u8]); 3] = [
        ("BOOT-INF/lib/a.jar", bytes),
        ("META-INF/spring-configuration-metadata.json", bytes),
        ("META-INF/dataflow-configuration-metadata.properties", bytes),
    ];
    for (name, content) in files {
        writer.start_file(name, SimpleFileOptions::default()).expect("started");
        writer.write_all(content).expect("written");
    }
    let _ = of_jar(writer.finish().expect("finished").into_inner());
});
