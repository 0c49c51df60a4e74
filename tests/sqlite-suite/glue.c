/*
** What the engine needs of SQLite's inner interfaces, behind names of its own, so that no layout of a
** structure is guessed: compiled against SQLite's own headers.
*/
#include "sqliteInt.h"
#include "wal.h"

/* Files. */
int ws_open(sqlite3_vfs *pVfs, const char *zName, sqlite3_file *pFd, int *pbReadonly){
  int flags = SQLITE_OPEN_READWRITE|SQLITE_OPEN_CREATE|SQLITE_OPEN_WAL;
  int rc = sqlite3OsOpen(pVfs, zName, pFd, flags, &flags);
  *pbReadonly = (flags & SQLITE_OPEN_READONLY)!=0;
  return rc;
}
int ws_file_bytes(sqlite3_vfs *pVfs){ return pVfs->szOsFile; }
void ws_close(sqlite3_file *pFd){ sqlite3OsClose(pFd); }
int ws_delete(sqlite3_vfs *pVfs, const char *zName){
  int rc;
  sqlite3BeginBenignMalloc();
  rc = sqlite3OsDelete(pVfs, zName, 0);
  sqlite3EndBenignMalloc();
  return rc;
}
void ws_sleep(sqlite3_vfs *pVfs, int nMicro){ sqlite3OsSleep(pVfs, nMicro); }
int ws_read(sqlite3_file *pFd, void *p, int n, sqlite3_int64 iOff){
  return sqlite3OsRead(pFd, p, n, iOff);
}
int ws_write(sqlite3_file *pFd, const void *p, int n, sqlite3_int64 iOff){
  return sqlite3OsWrite(pFd, p, n, iOff);
}
int ws_truncate(sqlite3_file *pFd, sqlite3_int64 n){ return sqlite3OsTruncate(pFd, n); }
int ws_sync(sqlite3_file *pFd, int flags){ return sqlite3OsSync(pFd, flags); }
int ws_size(sqlite3_file *pFd, sqlite3_int64 *pn){ return sqlite3OsFileSize(pFd, pn); }
int ws_lock(sqlite3_file *pFd, int eLock){ return sqlite3OsLock(pFd, eLock); }
int ws_sector_bytes(sqlite3_file *pFd){ return sqlite3SectorSize(pFd); }
int ws_is_powersafe(sqlite3_file *pFd){
  return (sqlite3OsDeviceCharacteristics(pFd) & SQLITE_IOCAP_POWERSAFE_OVERWRITE)!=0;
}
int ws_is_sequential(sqlite3_file *pFd){
  return (sqlite3OsDeviceCharacteristics(pFd) & SQLITE_IOCAP_SEQUENTIAL)!=0;
}
void ws_checkpoint_start(sqlite3_file *pFd){
  sqlite3OsFileControl(pFd, SQLITE_FCNTL_CKPT_START, 0);
}
void ws_checkpoint_done(sqlite3_file *pFd){
  sqlite3OsFileControl(pFd, SQLITE_FCNTL_CKPT_DONE, 0);
}
void ws_size_hint(sqlite3_file *pFd, sqlite3_int64 n){
  sqlite3OsFileControlHint(pFd, SQLITE_FCNTL_SIZE_HINT, &n);
}
int ws_persists_wal(sqlite3_file *pFd){
  int bPersist = -1;
  sqlite3OsFileControlHint(pFd, SQLITE_FCNTL_PERSIST_WAL, &bPersist);
  return bPersist==1;
}
void ws_unfetch(sqlite3_file *pFd){
  if( pFd->pMethods->iVersion>=3 ) sqlite3OsUnfetch(pFd, 0, 0);
}

/* The wal-index. */
int ws_shm_map(sqlite3_file *pFd, int iRegion, int bExtend, void volatile **pp){
  return sqlite3OsShmMap(pFd, iRegion, 32768, bExtend, pp);
}
int ws_shm_lock(sqlite3_file *pFd, int iSlot, int n, int bLock, int bExclusive){
  return sqlite3OsShmLock(pFd, iSlot, n,
      (bLock ? SQLITE_SHM_LOCK : SQLITE_SHM_UNLOCK)
    | (bExclusive ? SQLITE_SHM_EXCLUSIVE : SQLITE_SHM_SHARED));
}
void ws_shm_barrier(sqlite3_file *pFd){ sqlite3OsShmBarrier(pFd); }
int ws_shm_unmap(sqlite3_file *pFd, int bDelete){ return sqlite3OsShmUnmap(pFd, bDelete); }

/* The rest. SQLite's tests step in at the places that wal.c numbers. */
int ws_fault_sim(int iTest){ return sqlite3FaultSim(iTest); }
void ws_randomness(int n, void *p){ sqlite3_randomness(n, p); }
void ws_log_recovery(unsigned nFrame, const char *zWal){
  sqlite3_log(SQLITE_NOTICE_RECOVER_WAL, "recovered %d frames from WAL file %s", (int)nFrame, zWal);
}
int ws_is_interrupted(sqlite3 *db){ return AtomicLoad(&db->u1.isInterrupted)!=0; }
int ws_malloc_failed(sqlite3 *db){ return db->mallocFailed!=0; }
PgHdr *ws_page_next(PgHdr *p){ return p->pDirty; }
Pgno ws_page_number(PgHdr *p){ return p->pgno; }
void *ws_page_image(PgHdr *p){ return p->pData; }
void *ws_malloc(sqlite3_uint64 n){ return sqlite3_malloc64(n); }
void ws_free(void *p){ sqlite3_free(p); }

#if defined(SQLITE_TEST) && defined(SQLITE_DEBUG)
int sqlite3WalTrace = 0;
#endif
