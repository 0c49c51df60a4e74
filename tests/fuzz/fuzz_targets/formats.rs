//! Every decoder of `format` on arbitrary bytes: none panics, and what has an encoder comes back as
//! it was.

#![no_main]

use libfuzzer_sys::{arbitrary, fuzz_target};
use walsmith::database::describe::{PageFormat, describe};
use walsmith::format::btree::BtreeHeader;
use walsmith::format::checksum::Advance;
use walsmith::format::rollback_journal::{
    JournalHeader, record_checksum, super_journal_children, super_journal_name,
    super_journal_trailer,
};
use walsmith::format::varint::varint;
use walsmith::format::wal_index::{READER_SLOTS, block_of, frame_before_block};
use walsmith::format::{
    ByteOrder, Checksum, DatabaseHeader, FrameHeader, IndexHeader, PageSize, Pgno, WalHeader,
    WalIndexHeader, record,
};

#[derive(arbitrary::Arbitrary, Debug)]
struct Input<'a> {
    number: u32,
    page_size: u8,
    reserved_bytes: u8,
    text_encoding: u8,
    bytes: &'a [u8],
}

fuzz_target!(|input: Input<'_>| {
    headers(input.bytes, input.number);
    journal(input.bytes, input.number);
    page(&input);
    sums(input.bytes);
    let values = record::values(input.bytes);
    assert!(values.len() <= input.bytes.len());
    if let Some((_, length_bytes)) = varint(input.bytes) {
        assert!((1..=input.bytes.len().min(9)).contains(&length_bytes));
    }
});

fn headers(bytes: &[u8], number: u32) {
    if let Some(bytes) = bytes.first_chunk() {
        let header = WalHeader::decode(bytes);
        assert_eq!(&header.encode(), bytes);
        let _ = header.validate();
    }
    if let Some(bytes) = bytes.first_chunk() {
        assert_eq!(&FrameHeader::decode(bytes).encode(), bytes);
    }
    if let Some(bytes) = bytes.first_chunk() {
        let header = DatabaseHeader::decode(bytes);
        let is_valid = header.validate().is_ok();
        assert!(!is_valid || header.page_size().is_some());
        let _ = header.page_count();
    }
    if let Some(bytes) = bytes.first_chunk() {
        let header = WalIndexHeader::decode(bytes);
        let words = bytes.as_chunks::<4>().0;
        let copy: [u32; 12] = std::array::from_fn(|word| u32::from_ne_bytes(words[word]));
        let index = IndexHeader::from_words(copy);
        assert_eq!(index.to_words(), copy);
        assert_eq!(index.computed_checksum() == index.checksum, header.checksum_is_right);
        assert_eq!((index.mx_frame, index.salts), (header.mx_frame, header.salts));
        assert_eq!(header.read_marks.len(), READER_SLOTS);
        let _ = (header.validate(), header.page_size(), index.page_size());
    }
    let block = block_of(number);
    assert!(frame_before_block(block) < number.max(1));
}

fn journal(bytes: &[u8], nonce: u32) {
    if let Some(header) = bytes.first_chunk().and_then(JournalHeader::decode)
        && let Some((sector_bytes, _)) = header.sizes(PageSize::DEFAULT)
    {
        assert!(sector_bytes.is_power_of_two());
    }
    let _ = record_checksum(nonce, bytes);
    if let Some(trailer) = bytes.last_chunk()
        && let Some((length_bytes, sum)) = super_journal_trailer(trailer, bytes.len() as u64)
    {
        let end = bytes.len() - trailer.len();
        let _ = super_journal_name(&bytes[end - length_bytes..end], sum);
    }
    assert!(super_journal_children(bytes).count() <= bytes.len());
}

/// The bytes as a page, repeated until it is full.
fn page(input: &Input<'_>) {
    let page_size = PageSize::ALL[usize::from(input.page_size % 4)];
    let repeated = input.bytes.iter().chain([&0]).cycle();
    let image: Vec<u8> = repeated.take(page_size.in_memory()).copied().collect();
    let layout = PageFormat {
        page_size,
        reserved_bytes: input.reserved_bytes,
        text_encoding: input.text_encoding.into(),
    };
    for pgno in [Pgno(1), Pgno(2), page_size.lock_byte_page()] {
        let description = describe(pgno, &layout, &image);
        for (range, _) in &description.parts {
            assert!(range.start <= range.end && range.end <= image.len(), "{description:?}");
        }
        if let Some(header) = BtreeHeader::decode(pgno, page_size, &image) {
            assert!(header.cell_offsets(&image).len() <= usize::from(header.cell_count));
            assert!(header.freeblocks(&image).len() <= image.len());
        }
        // A page that was cut short.
        let _ = describe(pgno, &layout, &image[..input.bytes.len().min(image.len())]);
    }
}

/// Sums in pieces are the sum of the whole, forwards and backwards.
fn sums(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len() - bytes.len() % 8];
    let middle = bytes.len() / 16 * 8;
    let (first, second) = bytes.split_at(middle);
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let whole = Checksum::ZERO.update(order, bytes);
        let before = Checksum::ZERO.update(order, first);
        assert_eq!(before.update(order, second), whole);
        let in_steps =
            bytes.chunks_exact(8).fold(Checksum::ZERO, |sum, pair| sum.update(order, pair));
        assert_eq!(in_steps, whole);
        let pairs = u32::try_from(second.len() / 8).unwrap();
        let alone = Checksum::ZERO.update(order, second);
        assert_eq!(Advance::over_pairs(pairs).apply(before).plus(alone), whole);
        assert_eq!(Advance::back_over_pairs(pairs).apply(whole.minus(alone)), before);
    }
}
